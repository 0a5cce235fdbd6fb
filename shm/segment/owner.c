/* SPDX-License-Identifier: MIT */
/*
 * The owner lock is an OFD write lock on a byte of the segment's file. It belongs to the open file
 * description, so the master and its forked workers share it, and the kernel releases it when the
 * last of them has ended, whatever pid namespace they are in.
 *
 * Tools that write hold a read lock on another byte. An owner takes a write lock on that byte while
 * it checks and rebuilds the segment, so that no tool changes what it has checked.
 */
#include "shm/segment/owner.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm/core/fail.h"
#include "shm/core/layout.h"
#include "shm/core/store_handle.h"
#include "shm/segment/check.h"
#include "shm/store.h"

enum { OWNER_BYTE, GUEST_BYTE };
enum { GUEST_WAIT_MS = 1000, GUEST_PAUSE_MS = 10 };

static struct flock lock_of(off_t byte, short type)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    return lock;
}

/* @return 0; EAGAIN: another process has a conflicting lock; else errno */
static int set_lock(int fd, off_t byte, short type)
{
    struct flock lock = lock_of(byte, type);
    if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
        return 0;
    return errno == EACCES ? EAGAIN : errno;
}

/* ---- who owns it ---- */

/* The kernel does not tell who has an OFD lock, but the owner has joined the segment as its master.
 * While an upgrade drains the old program there are two: the later one is the owner.
 * @return 0: none has joined yet */
static uint32_t serving_pid(int fd)
{
    enum { HEAD = offsetof(struct shm_slot, pins) };
    struct shm_slot slot;
    uint64_t started_at = 0;
    uint32_t pid = 0;
    for (unsigned i = 0; i < SHM_SLOTS; i++) {
        off_t at = SHM_SLOTS_AT + (off_t)(i * sizeof(slot));
        if (pread(fd, &slot, HEAD, at) != HEAD)
            break;
        if (slot.state == 1 && slot.kind == SHM_ACTOR_MASTER && slot.started_at >= started_at) {
            started_at = slot.started_at;
            pid = slot.pid;
        }
    }
    return pid <= INT_MAX ? pid : 0;
}

static bool process_lives(uint32_t pid)
{
    return kill((pid_t)pid, 0) == 0 || errno == EPERM;
}

void shm_owner_describe(int fd, char text[SHM_OWNER_TEXT])
{
    struct shm_header header;
    struct shm_control control;
    text[0] = '\0';
    if (pread(fd, &header, sizeof(header), 0) != sizeof(header) ||
        shm_check_header(&header, "", NULL) != SHM_OK ||
        pread(fd, &control, sizeof(control), SHM_CONTROL_AT) != sizeof(control))
        return; /* another layout has the processes elsewhere */
    uint32_t pid = serving_pid(fd);
    if (pid != 0 && control.pid_namespace != shm_pid_namespace())
        snprintf(text, SHM_OWNER_TEXT, " (process %u of another pid namespace)", pid);
    else if (pid != 0 && process_lives(pid)) /* else its workers are about to end */
        snprintf(text, SHM_OWNER_TEXT, " (process %u)", pid);
}

static int fail_owned(int fd, const char *name, struct shm_fault *fault)
{
    char owner[SHM_OWNER_TEXT];
    if (fault == NULL)
        return SHM_EOWNED;
    shm_owner_describe(fd, owner);
    return shm_fail(fault, SHM_EOWNED, "segment %s: a live server owns it%s", name, owner);
}

/* ---- locks ---- */

static int set_owner_lock(int fd, short type, const char *name, struct shm_fault *fault)
{
    int error = set_lock(fd, OWNER_BYTE, type);
    if (error == 0)
        return SHM_OK;
    if (error == EAGAIN)
        return fail_owned(fd, name, fault);
    return shm_fail(fault, SHM_ESYS, "segment %s: cannot lock it: %s", name, strerror(error));
}

int shm_owner_take(int fd, const char *name, struct shm_fault *fault)
{
    return set_owner_lock(fd, F_WRLCK, name, fault);
}

int shm_owner_share(int fd, const char *name, struct shm_fault *fault)
{
    return set_owner_lock(fd, F_RDLCK, name, fault);
}

int shm_guest_enter(int fd, const char *name, struct shm_fault *fault)
{
    int error = set_lock(fd, GUEST_BYTE, F_RDLCK);
    if (error == 0)
        return SHM_OK;
    if (error == EAGAIN)
        return shm_fail(fault, SHM_EBUSY,
                        "segment %s: a server is checking it, to take it over: try again when it "
                        "serves",
                        name);
    return shm_fail(fault, SHM_ESYS, "segment %s: cannot lock it: %s", name, strerror(error));
}

int shm_guests_exclude(int fd, const char *name, struct shm_fault *fault)
{
    int error = set_lock(fd, GUEST_BYTE, F_WRLCK);
    for (int ms = 0; error == EAGAIN && ms < GUEST_WAIT_MS; ms += GUEST_PAUSE_MS) {
        usleep(GUEST_PAUSE_MS * 1000);
        error = set_lock(fd, GUEST_BYTE, F_WRLCK);
    }
    if (error == 0)
        return SHM_OK;
    if (error == EAGAIN)
        return shm_fail(
            fault, SHM_EBUSY,
            "segment %s: a tool (such as shm-inspect load) is writing to it: wait until "
            "it is done or end it, then start again",
            name);
    return shm_fail(fault, SHM_ESYS, "segment %s: cannot lock it: %s", name, strerror(error));
}

void shm_guests_admit(int fd)
{
    (void)set_lock(fd, GUEST_BYTE, F_UNLCK);
}

bool shm_owner_present(const struct shm_store *store)
{
    if (store->owner)
        return true;
    struct flock lock = lock_of(OWNER_BYTE, F_WRLCK);
    return fcntl(store->fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

uint64_t shm_pid_namespace(void)
{
    struct stat st;
    return stat("/proc/self/ns/pid", &st) == 0 ? (uint64_t)st.st_ino : 0;
}
