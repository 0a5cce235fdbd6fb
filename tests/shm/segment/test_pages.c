/* SPDX-License-Identifier: MIT */
/*
 * Simulates a machine with larger pages than the layout's: its system calls refuse addresses and
 * offsets that are not multiples of the page size, and take whole pages.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/core/layout.h"
#include "shm/core/store_handle.h"
#include "shm/core/test_points.h"
#include "tests/shm/support.h"

void (*shm_test_hook)(const char *point);

static uint64_t page = 4096;
static unsigned refused; /* refused madvise() calls, whose failure the library ignores */

void *__real_mmap(void *at, size_t length, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t length, int prot, int flags, int fd, off_t offset);
int __real_mprotect(void *at, size_t length, int prot);
int __wrap_mprotect(void *at, size_t length, int prot);
int __real_madvise(void *at, size_t length, int advice);
int __wrap_madvise(void *at, size_t length, int advice);
long __real_sysconf(int name);
long __wrap_sysconf(int name);

static bool is_aligned(uint64_t value)
{
    return value % page == 0;
}

void *__wrap_mmap(void *at, size_t length, int prot, int flags, int fd, off_t offset)
{
    bool fixed = (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) != 0;
    if (!is_aligned((uint64_t)offset) || (fixed && !is_aligned((uint64_t)(uintptr_t)at))) {
        errno = EINVAL;
        return MAP_FAILED;
    }
    return __real_mmap(at, shm_round_up(length, page), prot, flags, fd, offset);
}

int __wrap_mprotect(void *at, size_t length, int prot)
{
    if (is_aligned((uint64_t)(uintptr_t)at))
        return __real_mprotect(at, shm_round_up(length, page), prot);
    errno = EINVAL;
    return -1;
}

int __wrap_madvise(void *at, size_t length, int advice)
{
    if (is_aligned((uint64_t)(uintptr_t)at))
        return __real_madvise(at, length, advice);
    refused++;
    errno = EINVAL;
    return -1;
}

long __wrap_sysconf(int name)
{
    return name == _SC_PAGESIZE ? (long)page : __real_sysconf(name);
}

/* ---- */

static void die_when_sealed(const char *point)
{
    if (strcmp(point, "sealed") == 0)
        kill(getpid(), SIGKILL);
}

static void insert_and_die(struct fixture *f, int argument)
{
    struct shm_actor *actor;
    (void)argument;
    shm_actor_abandon(f->actor);
    if (shm_actor_join(&actor, f->store, SHM_ACTOR_WORKER, 1, NULL) != SHM_OK)
        _exit(1);
    shm_test_hook = die_when_sealed;
    /* Changes words of the control page, the feed and the arena. */
    users_insert(actor, 100, 300, 200);
}

static void check_pages_of(struct fixture *f, uint64_t bytes)
{
    struct shm_store *tool;
    page = bytes;
    users_insert(f->actor, 0, 100, 10);
    int status = in_child(insert_and_die, f, 0);
    assert_true(WIFSIGNALED(status));
    fixture_close(f);
    if (fixture_reopen(f) != SHM_OK) /* the log is replayed privately first, and then for good */
        fail_msg("with pages of %llu bytes: %s", (unsigned long long)bytes, f->fault.text);
    segment_check(f->store, 300);
    users_insert(f->actor, 300, 900, 100);
    fixture_close(f);
    assert_int_equal(shm_store_attach(&tool, f->name, SHM_ATTACH_READ, NULL, &f->fault), SHM_OK);
    assert_true(tool->readonly);
    segment_check(tool, 900);
    shm_store_close(tool);
    f->config.max_users = 100000;
    assert_int_equal(fixture_reopen(f), SHM_OK);
    users_insert(f->actor, 900, 30000, 200);
    segment_check(f->store, 30000);
    assert_int_equal(refused, 0);
}

static void segment_of_pages_of_4_kib_is_taken_over(void **state)
{
    check_pages_of(*state, 4096);
}

static void segment_of_pages_of_16_kib_is_taken_over(void **state)
{
    check_pages_of(*state, 16384);
}

static void segment_of_pages_of_64_kib_is_taken_over(void **state)
{
    check_pages_of(*state, 65536);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(segment_of_pages_of_4_kib_is_taken_over),
        TEST(segment_of_pages_of_16_kib_is_taken_over),
        TEST(segment_of_pages_of_64_kib_is_taken_over),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
