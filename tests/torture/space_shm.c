/* SPDX-License-Identifier: MIT */
#include "tests/torture/space.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "shm/core/layout.h"

/* ---- a clock ---- */

static int64_t ahead_ms;
static bool stands;
static struct timespec stood;

int __real_clock_gettime(clockid_t id, struct timespec *ts);
int __wrap_clock_gettime(clockid_t id, struct timespec *ts);

int __wrap_clock_gettime(clockid_t id, struct timespec *ts)
{
    int rc = __real_clock_gettime(id, ts);
    if (id != CLOCK_MONOTONIC)
        return rc;
    if (stands)
        *ts = stood;
    ts->tv_sec += ahead_ms / 1000;
    ts->tv_nsec += ahead_ms % 1000 * 1000000;
    if (ts->tv_nsec >= 1000000000) {
        ts->tv_nsec -= 1000000000;
        ts->tv_sec++;
    }
    return rc;
}

void space_pass_ms(int64_t ms)
{
    ahead_ms += ms;
}

void space_stop_clock(bool stop)
{
    __real_clock_gettime(CLOCK_MONOTONIC, &stood);
    stands = stop;
}

/* ---- fallocate() that fails ---- */

static unsigned calls, fail_at; /* 0 in fail_at: never fail */
static int fail_errno;
static bool fail_once; /* otherwise from that call on */

int __real_fallocate(int fd, int mode, off_t offset, off_t length);
int __wrap_fallocate(int fd, int mode, off_t offset, off_t length);

int __wrap_fallocate(int fd, int mode, off_t offset, off_t length)
{
    calls++;
    if (fail_at != 0 && (fail_once ? calls == fail_at : calls >= fail_at)) {
        errno = fail_errno;
        return -1;
    }
    return __real_fallocate(fd, mode, offset, length);
}

unsigned space_calls(void)
{
    return calls;
}

void space_fail_from(unsigned call, int error, bool once)
{
    space_pass_ms(REMEMBERED_MS);
    calls = 0;
    fail_at = call;
    fail_errno = error;
    fail_once = once;
}

/* ---- a small /dev/shm ---- */

bool space_mounts;

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        if (write(fd, text, strlen(text)) < 0)
            perror(path);
        close(fd);
    }
}

/* Enters a mount namespace of its own: directly as root, otherwise as the root of a user
 * namespace. */
static bool enter_namespace(void)
{
    char map[64];
    unsigned uid = getuid(), gid = getgid();
    if (unshare(CLONE_NEWNS) != 0) {
        if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
            return false;
        write_file("/proc/self/setgroups", "deny");
        snprintf(map, sizeof(map), "%u %u 1", uid, uid);
        write_file("/proc/self/uid_map", map);
        snprintf(map, sizeof(map), "%u %u 1", gid, gid);
        write_file("/proc/self/gid_map", map);
    }
    return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("tmpfs", "/dev/shm", "tmpfs", 0, "mode=1777") == 0;
}

void space_set_size(uint64_t bytes)
{
    char options[64];
    space_pass_ms(REMEMBERED_MS);
    snprintf(options, sizeof(options), "size=%llu", (unsigned long long)bytes);
    if (mount("tmpfs", "/dev/shm", "tmpfs", MS_REMOUNT, options) != 0)
        fail_msg("cannot mount /dev/shm with %s: %s", options, strerror(errno));
}

uint64_t space_used(void)
{
    struct statvfs st;
    assert_int_equal(statvfs("/dev/shm", &st), 0);
    return (uint64_t)(st.f_blocks - st.f_bfree) * st.f_frsize;
}

void space_set_full(void)
{
    space_set_size(space_used() > 0 ? space_used() : SHM_PAGE);
}

void space_enter(void)
{
    space_mounts = enter_namespace();
}
