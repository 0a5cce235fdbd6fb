/* SPDX-License-Identifier: MIT */
/* Memory limits of control groups: simulated by a directory, and with a real group if the test
 * may create one. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/segment/cgroup_room.h"
#include "shm/segment/grow.h"
#include "tests/base/write_below.h"
#include "tests/shm/support.h"

#define MIB UINT64_C(1048576)

enum { BIG_BODY = 3000 };

/* ---- a simulated tree of groups ---- */

static char root[64];

static void write_text(const char *path, const char *text)
{
    write_below(root, path, text);
}

static void write_number(const char *path, uint64_t number)
{
    char text[32];
    snprintf(text, sizeof(text), "%" PRIu64 "\n", number);
    write_text(path, text);
}

static void make_root(void)
{
    strcpy(root, "/tmp/rosterd-room-XXXXXX");
    assert_non_null(mkdtemp(root));
}

static void remove_root(void)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -r '%s'", root);
    assert_int_equal(system(command), 0);
}

static int setup(void **state)
{
    make_root();
    shm_group_full_at = 0; /* reset after an earlier test */
    return fixture_setup(state);
}

static int teardown(void **state)
{
    shm_room_set_root("");
    remove_root();
    return fixture_teardown(state);
}

static uint64_t left(void)
{
    struct shm_room room;
    shm_room_find(&room, root);
    uint64_t bytes = shm_room_left(&room);
    shm_room_free(&room);
    return bytes;
}

#define V2(group, file) "/sys/fs/cgroup" group "/" file
#define V1(group, file) "/sys/fs/cgroup/memory" group "/" file

static void without_files_there_is_no_limit(void **state)
{
    (void)state;
    assert_true(left() == UINT64_MAX);
    write_text("/proc/self/cgroup", "0::/a\n");
    assert_true(left() == UINT64_MAX);
    write_text(V2("/a", "memory.max"), "max\n");
    write_number(V2("/a", "memory.current"), 5 * MIB);
    assert_true(left() == UINT64_MAX);
}

static void version_2_group_leaves_its_limit_minus_use_and_a_sixteenth(void **state)
{
    (void)state;
    write_text("/proc/self/cgroup", "0::/a\n");
    write_number(V2("/a", "memory.max"), 1600 * MIB);
    write_number(V2("/a", "memory.current"), 500 * MIB);
    assert_int_equal(left(), 1000 * MIB);
    write_number(V2("/a", "memory.current"), 1500 * MIB);
    assert_int_equal(left(), 0);
    write_number(V2("/a", "memory.current"), 1700 * MIB);
    assert_int_equal(left(), 0);
}

static void margin_of_a_small_group_is_8_mib(void **state)
{
    (void)state;
    write_text("/proc/self/cgroup", "0::/a\n");
    write_number(V2("/a", "memory.max"), 30 * MIB);
    write_number(V2("/a", "memory.current"), 10 * MIB);
    assert_int_equal(left(), 12 * MIB);
}

static void page_cache_counts_as_room(void **state)
{
    (void)state;
    write_text("/proc/self/cgroup", "0::/a\n");
    write_number(V2("/a", "memory.max"), 1600 * MIB);
    write_number(V2("/a", "memory.current"), 1500 * MIB);
    write_text(V2("/a", "memory.stat"),
               "anon 1048576\nfile 999999999\ninactive_anon 77\nactive_anon 77\n"
               "inactive_file 104857600\nactive_file 209715200\nunevictable 0\n");
    assert_int_equal(left(), 300 * MIB);
    /* A number larger than the memory in use, and text that is no number. */
    write_text(V2("/a", "memory.stat"), "inactive_file 99999999999\nactive_file x\n");
    assert_int_equal(left(), 1500 * MIB);
}

static void smallest_limit_of_all_parent_groups_counts(void **state)
{
    (void)state;
    write_text("/proc/self/cgroup", "0::/a/b/c\n");
    write_text(V2("/a/b/c", "memory.max"), "max\n");
    write_number(V2("/a/b/c", "memory.current"), 10 * MIB);
    write_number(V2("/a", "memory.max"), 160 * MIB); /* group b has no such file */
    write_number(V2("/a", "memory.current"), 100 * MIB);
    assert_int_equal(left(), 50 * MIB);
    write_number(V2("", "memory.max"), 160 * MIB); /* a container, whose root is a group */
    write_number(V2("", "memory.current"), 120 * MIB);
    assert_int_equal(left(), 30 * MIB);
}

static void version_1_group_counts(void **state)
{
    (void)state;
    write_text("/proc/self/cgroup", "5:cpu,cpuacct:/m\n4:hugetlb,memory:/m/x\n0::/\n");
    write_text(V1("/m/x", "memory.limit_in_bytes"), "9223372036854771712\n");
    write_number(V1("/m/x", "memory.usage_in_bytes"), 10 * MIB);
    assert_true(left() > UINT64_MAX / 4);
    write_number(V1("/m", "memory.limit_in_bytes"), 160 * MIB);
    write_number(V1("/m", "memory.usage_in_bytes"), 150 * MIB);
    assert_int_equal(left(), 0);
    write_text(V1("/m", "memory.stat"), "cache 1\ninactive_file 1\nactive_file 1\n"
                                        "total_inactive_file 10485760\ntotal_active_file 0\n");
    assert_int_equal(left(), 10 * MIB);
}

static void groups_of_both_versions_count_at_once(void **state)
{
    (void)state;
    write_text("/proc/self/cgroup", "4:memory:/m\n0::/a\n");
    write_number(V1("/m", "memory.limit_in_bytes"), 1600 * MIB);
    write_number(V1("/m", "memory.usage_in_bytes"), 100 * MIB);
    assert_int_equal(left(), 1400 * MIB);
    write_number("/sys/fs/cgroup/unified/a/memory.max", 160 * MIB);
    write_number("/sys/fs/cgroup/unified/a/memory.current", 100 * MIB);
    assert_int_equal(left(), 50 * MIB);
}

static void invalid_limit_files_are_no_limit(void **state)
{
    static const char *const nonsense[] = {"",   "x",       "-1",
                                           "\n", "12 34\n", "99999999999999999999\n"};
    (void)state;
    write_text("/proc/self/cgroup",
               "garbage\n\n::\n0:\n0::relative\nx:memory\n0::/../b\n0::/a///\n");
    write_number(V2("/a", "memory.current"), 100 * MIB);
    for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
        write_text(V2("/a", "memory.max"), nonsense[i]);
        assert_true(left() > UINT64_MAX / 4);
    }
    write_number(V2("/a", "memory.max"), 160 * MIB);
    assert_int_equal(left(), 50 * MIB);
    write_text(V2("/a", "memory.current"), "x\n");
    assert_true(left() == UINT64_MAX);
}

/* ---- the store ---- */

/* Inserts large bodies until the store refuses. @return the error */
static int fill(struct fixture *f, uint64_t *next)
{
    int rc;
    while ((rc = user_insert(f->actor, *next, BIG_BODY)) == SHM_OK || rc == SHM_EBUSY)
        *next += rc == SHM_OK ? 1 : 0;
    return rc;
}

static uint64_t arena_size(void)
{
    return shm_control()->arena_end - SHM_BASE;
}

static void play_limit(uint64_t limit, uint64_t used)
{
    write_text("/proc/self/cgroup", "0::/a\n");
    write_number(V2("/a", "memory.max"), limit);
    write_number(V2("/a", "memory.current"), used);
    shm_room_set_root(root);
}

static void limit_unreadable_for_lack_of_descriptors_counts_as_reached(void **state)
{
    struct rlimit before;
    struct shm_room room;
    (void)state;
    write_text("/proc/self/cgroup", "0::/a\n");
    write_text(V2("", "memory.max"), "max\n");
    write_number(V2("", "memory.current"), 500 * MIB);
    write_number(V2("/a", "memory.max"), 1600 * MIB);
    write_number(V2("/a", "memory.current"), 500 * MIB);
    shm_room_find(&room, root);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    const struct rlimit none = {.rlim_cur = 0, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    uint64_t blind = shm_room_left(&room);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    uint64_t seeing = shm_room_left(&room);
    write_text(V2("/a", "memory.max"), "max\n");
    uint64_t unlimited = shm_room_left(&room);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    uint64_t blind_again = shm_room_left(&room);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    shm_room_free(&room);
    assert_int_equal(blind, 0);
    assert_int_equal(seeing, 1000 * MIB);
    assert_true(unlimited == UINT64_MAX);
    assert_true(blind_again == UINT64_MAX);
}

static void growth_is_refused_where_the_group_has_no_room(void **state)
{
    struct fixture *f = *state;
    uint64_t next = 0, before = arena_size();
    f->config.max_users = 100000;
    fixture_close(f);
    assert_int_equal(fixture_reopen(f), SHM_OK);
    before = arena_size();
    play_limit(64 * MIB, 60 * MIB);
    shm_maintain(f->actor);
    assert_int_equal(fill(f, &next), SHM_ESPACE);
    assert_int_equal(arena_size(), before);
    play_limit(64 * MIB, 50 * MIB); /* the smallest step, but not a whole one */
    shm_group_full_at = 0;          /* as if some time had passed */
    assert_int_equal(user_insert(f->actor, next++, BIG_BODY), SHM_OK);
    assert_true(arena_size() > before);
    segment_check(f->store, next);
}

/* A tool of another group: the server's limit does not apply to it. */
static void insert_in_another_group(struct fixture *f, int unused)
{
    struct shm_actor *actor;
    (void)unused;
    shm_group_full_at = 0; /* the state in which a new process begins */
    shm_room_set_root("");
    shm_actor_abandon(f->actor);
    if (shm_actor_join(&actor, f->store, SHM_ACTOR_WORKER, 1, NULL) != SHM_OK)
        _exit(3);
    _exit(user_insert(actor, 90000, BIG_BODY) == SHM_OK ? 0 : 4);
}

static void refusal_of_one_group_does_not_affect_others(void **state)
{
    struct fixture *f = *state;
    uint64_t next = 0;
    f->config.max_users = 100000;
    fixture_close(f);
    assert_int_equal(fixture_reopen(f), SHM_OK);
    play_limit(64 * MIB, 60 * MIB);
    assert_int_equal(fill(f, &next), SHM_ESPACE);
    assert_true(shm_group_full_at != 0);
    assert_int_equal(shm_control()->full_at, 0);
    assert_int_equal(in_child(insert_in_another_group, f, 0), 0);
    shm_actor_reap(f->store);
}

/* The table used everything but the margin. The margin is for processes, so their slots may use
 * it. */
static void processes_join_even_if_the_table_may_not_grow(void **state)
{
    struct fixture *f = *state;
    struct shm_actor *actors[SHM_SLOTS_STEP];
    play_limit(64 * MIB, 60 * MIB);
    for (unsigned i = 0; i < SHM_SLOTS_STEP; i++) /* one more than the existing slots */
        assert_int_equal(shm_actor_join(&actors[i], f->store, SHM_ACTOR_WORKER, i, &f->fault),
                         SHM_OK);
    for (unsigned i = 0; i < SHM_SLOTS_STEP; i++)
        shm_actor_leave(actors[i]);
    shm_room_set_root("");
    segment_check(f->store, 0);
}

static void creation_is_refused_where_the_group_has_no_room(void **state)
{
    struct fixture *f = *state;
    fixture_close(f);
    assert_int_equal(shm_store_unlink(f->name, &f->fault), SHM_OK);
    play_limit(64 * MIB, 55 * MIB);
    assert_int_equal(shm_store_open(&f->store, &f->config, &f->fault), SHM_ESPACE);
    assert_non_null(strstr(f->fault.text, "limit of the control group leaves 1048576"));
    assert_int_equal(shm_store_attach(&f->store, f->name, SHM_ATTACH_READ, NULL, NULL), SHM_ENOSEG);
    play_limit(64 * MIB, 20 * MIB);
    assert_int_equal(fixture_reopen(f), SHM_OK);
}

static void larger_tables_are_refused_where_the_group_has_no_room(void **state)
{
    struct fixture *f = *state;
    users_insert(f->actor, 0, 100, 10);
    fixture_close(f);
    play_limit(64 * MIB, 55 * MIB); /* less than a step */
    f->config.max_users = 3000000;
    assert_int_equal(shm_store_open(&f->store, &f->config, &f->fault), SHM_ESPACE);
    f->config.max_users = 1000;
    assert_int_equal(fixture_reopen(f), SHM_OK);
    shm_room_set_root("");
    segment_check(f->store, 100);
}

static void verify_is_refused_where_its_copy_has_no_room(void **state)
{
    struct fixture *f = *state;
    struct shm_verify_report report;
    users_insert(f->actor, 0, 100, 10);
    play_limit(64 * MIB, 55 * MIB);
    assert_int_equal(shm_store_verify(f->store, &report, NULL, NULL), SHM_ESPACE);
    play_limit(64 * MIB, 40 * MIB);
    segment_check(f->store, 100);
}

/* ---- a real group ---- */

static char group[512]; /* directory of the group; empty: no group */

static bool put(const char *file, const char *text)
{
    char path[600];
    snprintf(path, sizeof(path), "%s/%s", group, file);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0)
        close(fd);
    return good;
}

static bool make_group_below(const char *directory, const char *limit_file)
{
    snprintf(group, sizeof(group), "%.400s/rosterd-test-%d", directory, (int)getpid());
    if (mkdir(group, 0700) == 0) {
        if (put(limit_file, "100663296")) /* 96 MiB */
            return true;
        rmdir(group);
    }
    group[0] = '\0';
    return false;
}

/* Creates a group below the process's own; with version 2 next to it, because a version-2 group
 * with processes cannot delegate controllers. */
static bool make_group(void)
{
    struct shm_room room;
    bool made = false;
    shm_room_find(&room, "");
    for (unsigned i = 0; i < room.count && !made; i++) {
        const char *path = room.group[i].path;
        char *above = strdup(path);
        assert_non_null(above);
        *strrchr(above, '/') = '\0';
        made = room.group[i].v2 ? make_group_below(above, "memory.max")
                                : make_group_below(path, "memory.limit_in_bytes");
        free(above);
    }
    shm_room_free(&room);
    return made;
}

/* Enters the group. Memory that it touches is accounted to the group. */
static void fill_in_group(struct fixture *f, int argument)
{
    uint64_t next = 1000;
    struct shm_actor *actor;
    (void)argument;
    if (!put("cgroup.procs", "0"))
        _exit(2);
    shm_room_set_root("");
    shm_actor_abandon(f->actor);
    if (shm_actor_join(&actor, f->store, SHM_ACTOR_WORKER, 1, NULL) != SHM_OK)
        _exit(3);
    f->actor = actor;
    int rc = fill(f, &next);
    shm_actor_leave(actor);
    _exit(rc != SHM_ESPACE ? 4 : arena_size() < 60 * MIB ? 5 : 0);
}

static void full_group_is_an_error_and_kills_no_process(void **state)
{
    struct fixture *f = *state;
    f->config.max_users = 100000;
    fixture_close(f);
    assert_int_equal(fixture_reopen(f), SHM_OK);
    if (!make_group()) {
        print_message("not permitted to create a control group with a memory limit: left out\n");
        return;
    }
    int status = in_child(fill_in_group, f, 0);
    for (int i = 0; i < 100 && rmdir(group) != 0; i++)
        usleep(10000); /* the kernel removes the dead child from it */
    if (WIFSIGNALED(status))
        fail_msg("the child was killed by signal %d", WTERMSIG(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    shm_actor_reap(f->store);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(without_files_there_is_no_limit),
        TEST(version_2_group_leaves_its_limit_minus_use_and_a_sixteenth),
        TEST(margin_of_a_small_group_is_8_mib),
        TEST(page_cache_counts_as_room),
        TEST(smallest_limit_of_all_parent_groups_counts),
        TEST(version_1_group_counts),
        TEST(groups_of_both_versions_count_at_once),
        TEST(invalid_limit_files_are_no_limit),
        TEST(limit_unreadable_for_lack_of_descriptors_counts_as_reached),
        TEST(growth_is_refused_where_the_group_has_no_room),
        TEST(refusal_of_one_group_does_not_affect_others),
        TEST(processes_join_even_if_the_table_may_not_grow),
        TEST(creation_is_refused_where_the_group_has_no_room),
        TEST(larger_tables_are_refused_where_the_group_has_no_room),
        TEST(verify_is_refused_where_its_copy_has_no_room),
        TEST(full_group_is_an_error_and_kills_no_process),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
