/* SPDX-License-Identifier: MIT */
/* How many more users fit, as the store says, and which bound it names. The bound of /dev/shm
 * itself needs a small file system: tests/e2e/test_full.py has one. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>

#include "shm/headroom.h"
#include "shm/segment/cgroup_room.h"
#include "tests/base/write_below.h"
#include "tests/shm/support.h"

#define MIB UINT64_C(1048576)

static char root[64]; /* of the simulated control groups */

static int setup(void **state)
{
    strcpy(root, "/tmp/rosterd-headroom-XXXXXX");
    assert_non_null(mkdtemp(root));
    shm_room_set_root(root); /* no group, no limit */
    return fixture_setup(state);
}

static int teardown(void **state)
{
    char command[128];
    shm_room_set_root("");
    snprintf(command, sizeof(command), "rm -r '%s'", root);
    assert_int_equal(system(command), 0);
    return fixture_teardown(state);
}

static void play_memory(uint64_t limit, uint64_t used)
{
    char text[32];
    write_below(root, "/proc/self/cgroup", "0::/a\n");
    snprintf(text, sizeof(text), "%" PRIu64 "\n", limit);
    write_below(root, "/sys/fs/cgroup/a/memory.max", text);
    snprintf(text, sizeof(text), "%" PRIu64 "\n", used);
    write_below(root, "/sys/fs/cgroup/a/memory.current", text);
    shm_room_set_root(root);
}

static void reopen_with(struct fixture *f, uint64_t max_users, uint64_t size)
{
    fixture_close(f);
    assert_int_equal(shm_store_unlink(f->name, &f->fault), SHM_OK);
    f->config.max_users = max_users;
    f->config.size = size;
    assert_int_equal(fixture_reopen(f), SHM_OK);
}

static struct shm_headroom look(struct fixture *f)
{
    struct shm_info info;
    struct shm_headroom headroom;
    shm_store_info(f->store, &info);
    shm_headroom(f->store, &info, &headroom);
    return headroom;
}

static void max_users_bounds_a_table_with_ample_memory(void **state)
{
    struct fixture *f = *state;
    users_insert(f->actor, 0, 10, 10);
    struct shm_headroom headroom = look(f);
    assert_int_equal(headroom.bound, SHM_BOUND_USERS);
    assert_int_equal(headroom.users, 990);
    assert_int_equal(headroom.user_bytes, SHM_USER_BYTES);
    assert_true(headroom.memory_left == UINT64_MAX);
}

static void file_system_is_the_one_of_the_segment(void **state)
{
    struct statvfs files;
    struct shm_headroom headroom = look(*state);
    assert_int_equal(statvfs("/dev/shm", &files), 0);
    if (files.f_blocks == 0)
        assert_true(headroom.files_size == UINT64_MAX && headroom.files_free == UINT64_MAX);
    else
        assert_int_equal(headroom.files_size, files.f_blocks * files.f_frsize);
    assert_true(headroom.files_free <= headroom.files_size);
}

static void segment_size_bounds_a_table_that_may_not_grow_so_far(void **state)
{
    struct fixture *f = *state;
    struct shm_info info;
    reopen_with(f, 1000000, 64 * MIB);
    struct shm_headroom headroom = look(f);
    shm_store_info(f->store, &info);
    assert_int_equal(headroom.bound, SHM_BOUND_SEGMENT);
    assert_int_equal(headroom.segment_left, 64 * MIB - info.bytes_mapped);
    assert_int_equal(headroom.bytes, info.bytes_free + headroom.segment_left);
    assert_int_equal(headroom.users, headroom.bytes / SHM_USER_BYTES);
}

static void memory_limit_bounds_a_table_in_whole_huge_pages(void **state)
{
    struct fixture *f = *state;
    struct shm_info info;
    reopen_with(f, 100000, 256 * MIB);
    shm_store_info(f->store, &info);
    play_memory(64 * MIB, 51 * MIB); /* of which a margin of 8 MiB is kept */
    struct shm_headroom headroom = look(f);
    assert_int_equal(headroom.memory_left, 5 * MIB);
    assert_int_equal(headroom.bound, SHM_BOUND_MEMORY);
    assert_int_equal(headroom.bytes, info.bytes_free + 4 * MIB);
    play_memory(64 * MIB, 55 * MIB); /* less than a step of growth is left */
    assert_int_equal(look(f).bytes, info.bytes_free);
}

/* Half of the table is filled, and the store says how much of the other half fits. */
static void users_that_fit_are_those_that_fit(void **state)
{
    struct fixture *f = *state;
    uint64_t next = 0;
    reopen_with(f, 100000, 32 * MIB);
    for (; next < 4000; next++)
        assert_int_equal(user_insert(f->actor, next, 1500), SHM_OK);
    struct shm_headroom headroom = look(f);
    assert_in_range(headroom.user_bytes, 1600, 1800);
    while (user_insert(f->actor, next, 1500) == SHM_OK)
        next++;
    uint64_t more = next - 4000;
    assert_true(more > 2000);
    assert_in_range(headroom.users, more - more / 50, more + more / 50);
    assert_true(look(f).users < 20);
    assert_int_equal(look(f).bound, SHM_BOUND_SEGMENT);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH(max_users_bounds_a_table_with_ample_memory),
        WITH(file_system_is_the_one_of_the_segment),
        WITH(segment_size_bounds_a_table_that_may_not_grow_so_far),
        WITH(memory_limit_bounds_a_table_in_whole_huge_pages),
        WITH(users_that_fit_are_those_that_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
