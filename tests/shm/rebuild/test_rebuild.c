/* SPDX-License-Identifier: MIT */
/* What a new owner may change in a segment that it takes over, and which processes must not
 * write meanwhile. */
#include "tests/shm/support.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/core/table_size.h"
#include "shm/core/test_points.h"
#include "shm/rebuild/rebuild.h"
#include "shm/segment/owner.h"
#include "shm/segment/segment_file.h"

enum { USERS = 10000 };

/* A body of users_insert() begins with the user's number. The number is key 0; odd ones are
 * also key 1. */
static uint32_t key_of(unsigned key, const uint8_t *body, uint32_t body_len, uint8_t *out)
{
    uint64_t n;
    if (body_len < sizeof(n))
        return 0;
    memcpy(&n, body, sizeof(n));
    if (key == 1 && n % 2 == 0)
        return 0;
    memcpy(out, &n, sizeof(n));
    return sizeof(n);
}

/* The last thousand of 10,000 users have the same key as the first thousand. */
static uint32_t shared_key_of(unsigned key, const uint8_t *body, uint32_t body_len, uint8_t *out)
{
    uint64_t n;
    (void)key;
    (void)body_len;
    memcpy(&n, body, sizeof(n));
    return (uint32_t)snprintf((char *)out, SHM_KEY_MAX, "user'%llu",
                              (unsigned long long)(n % 9000));
}

static void check_all(struct fixture *f, uint64_t users)
{
    for (uint64_t n = 0; n < users; n++)
        assert_user(f->actor, n);
    segment_check(f->store, users);
}

static void check_key(struct fixture *f, unsigned key, uint64_t n, int expected)
{
    struct shm_user user;
    assert_int_equal(shm_user_find_key(f->actor, key, (const uint8_t *)&n, sizeof(n), &user),
                     expected);
}

static void make(struct fixture *f, uint64_t max_users, unsigned unique)
{
    fixture_close(f);
    assert_int_equal(shm_store_unlink(f->name, &f->fault), SHM_OK);
    f->config.max_users = max_users;
    f->config.unique = unique;
    f->config.key_of = key_of;
    assert_int_equal(fixture_reopen(f), SHM_OK);
}

static void reopen(struct fixture *f)
{
    fixture_close(f);
    int rc = fixture_reopen(f);
    if (rc != SHM_OK)
        fail_msg("%s", f->fault.text);
}

static void larger_max_users_makes_a_larger_table(void **state)
{
    struct fixture *f = *state;
    struct shm_verify_report report;
    make(f, USERS, 0);
    users_insert(f->actor, 0, USERS, 100);
    assert_int_equal(shm_control()->ids.count, shm_bucket_count(USERS));
    f->config.max_users = 300000;
    reopen(f);
    assert_int_equal(shm_control()->ids.count, shm_bucket_count(300000));
    check_all(f, USERS);
    users_insert(f->actor, USERS, 2 * USERS, 100);
    check_all(f, 2 * USERS);
    assert_int_equal(shm_store_verify(f->store, &report, NULL, NULL), SHM_OK);
    assert_int_equal(report.bytes_tables, shm_table_size(shm_bucket_count(300000)));
    assert_int_equal(report.bytes_used + report.bytes_free + report.bytes_tables,
                     shm_control()->arena_end - SHM_BASE - SHM_ARENA_AT);
    f->config.max_users = 50000; /* fewer users: the tables remain */
    reopen(f);
    assert_int_equal(shm_control()->ids.count, shm_bucket_count(300000));
    check_all(f, 2 * USERS);
}

static void memory_of_the_old_table_is_reused(void **state)
{
    struct fixture *f = *state;
    make(f, 300000, 0);
    users_insert(f->actor, 0, 100, 100);
    f->config.max_users = 600000;
    reopen(f);
    const struct shm_control *control = shm_control();
    uint64_t nodes = control->alloc[SHM_ALLOC_NODE_FREE];
    assert_true(nodes != 0);
    users_insert(f->actor, 100, 1100, 100);
    assert_true(control->alloc[SHM_ALLOC_NODE_FREE] == nodes + 1000 * sizeof(struct shm_node));
    check_all(f, 1100);
}

static void chain_of_many_dead_users_is_moved(void **state)
{
    struct fixture *f = *state;
    uint8_t id[SHM_ID_SIZE];
    make(f, USERS, 0);
    user_id(id, 7);
    shm_actor_online(f->actor); /* prevents any reclaim */
    for (int i = 0; i < 3000; i++) {
        users_insert(f->actor, 7, 8, 1);
        assert_int_equal(shm_users_delete(f->actor, (const uint8_t(*)[SHM_ID_SIZE]) & id, 1, NULL),
                         SHM_OK);
    }
    users_insert(f->actor, 0, 100, 10);
    f->config.max_users = 100000;
    reopen(f);
    assert_true(shm_control()->retired.count > 2900);
    check_all(f, 100);
    while (shm_maintain(f->actor) < 500)
        ;
    assert_int_equal(shm_control()->retired.count, 0);
    check_all(f, 100);
}

static void other_unique_builds_and_drops_indexes(void **state)
{
    struct fixture *f = *state;
    make(f, USERS, 0);
    users_insert(f->actor, 0, USERS, 100);
    check_key(f, 0, 77, SHM_EINVAL);
    f->config.unique = 1;
    reopen(f);
    check_key(f, 0, 77, SHM_OK);
    check_key(f, 1, 77, SHM_EINVAL);
    f->config.unique = 2;
    f->config.max_users = 100000;
    reopen(f);
    check_key(f, 0, 77, SHM_EINVAL);
    check_key(f, 1, 77, SHM_OK);
    check_key(f, 1, 78, SHM_ENOENT);
    f->config.unique = 3;
    reopen(f);
    check_all(f, USERS);
    for (uint64_t n = 0; n < USERS; n++) {
        check_key(f, 0, n, SHM_OK);
        check_key(f, 1, n, n % 2 == 0 ? SHM_ENOENT : SHM_OK);
    }
    users_insert(f->actor, USERS, 2 * USERS, 100);
    check_key(f, 0, 2 * USERS - 1, SHM_OK);
    f->config.max_users = 300000; /* the indexes grow, too */
    reopen(f);
    assert_int_equal(shm_control()->unique[1].count, shm_bucket_count(300000));
    check_key(f, 0, 2 * USERS - 1, SHM_OK);
    f->config.unique = 0;
    reopen(f);
    check_all(f, 2 * USERS);
}

static void shared_keys_are_named_and_nothing_changes(void **state)
{
    struct fixture *f = *state;
    make(f, USERS, 0);
    users_insert(f->actor, 0, USERS, 100);
    fixture_close(f);
    f->config.unique = 1;
    f->config.key_of = shared_key_of;
    f->config.max_users = 300000;
    assert_int_equal(fixture_reopen(f), SHM_EEXIST);
    assert_non_null(strstr(f->fault.text,
                           "key 0 cannot become unique, 1000 users have another user's: "
                           "'user\\x270' (users 1 and 9001), 'user\\x271' "));
    assert_non_null(strstr(f->fault.text, "'user\\x274' (users 5 and 9005), ..."));
    f->config.unique = 0;
    f->config.max_users = USERS;
    assert_int_equal(fixture_reopen(f), SHM_OK);
    assert_int_equal(shm_control()->ids.count, shm_bucket_count(USERS));
    check_all(f, USERS);
}

/* ---- killed during the rebuild ---- */

void (*shm_test_hook)(const char *point);

static const char *kill_point;
static int kill_after;

static void kill_at_point(const char *point)
{
    if (strcmp(point, kill_point) == 0 && kill_after-- == 0)
        raise(SIGKILL);
}

static void open_and_die(struct fixture *f, int unused)
{
    (void)unused;
    shm_test_hook = kill_at_point;
    _exit(fixture_reopen(f) == SHM_OK ? 0 : 1);
}

/* A partly rebuilt segment can be read and checked, but not written. */
static void check_as_a_tool(struct fixture *f, uint64_t users)
{
    struct shm_store *none;
    assert_int_equal(shm_store_attach(&f->store, f->name, SHM_ATTACH_READ, key_of, &f->fault),
                     SHM_OK);
    assert_int_equal(shm_actor_join(&f->actor, f->store, SHM_ACTOR_TOOL, 0, &f->fault), SHM_OK);
    segment_check(f->store, users);
    for (uint64_t n = 0; n < users; n += 97)
        assert_user(f->actor, n);
    bool unfinished = shm_rebuild_unfinished();
    fixture_close(f);
    int rc = shm_store_attach(&none, f->name, SHM_ATTACH_WRITE, key_of, &f->fault);
    assert_int_equal(rc, unfinished ? SHM_EBUSY : SHM_OK);
    if (rc == SHM_OK)
        shm_store_close(none);
    else
        assert_non_null(strstr(f->fault.text, "died while it rebuilt"));
}

static void rebuild_killed_at_every_step(void **state, const char *point, unsigned from,
                                         unsigned to)
{
    int kills = 0;
    int status;
    do {
        assert_int_equal(fixture_setup(state), 0);
        struct fixture *f = *state;
        make(f, 2000, from);
        users_insert(f->actor, 0, 2000, 100);
        fixture_close(f);
        f->config.max_users = 40000;
        f->config.unique = to;
        kill_point = point;
        kill_after = kills++;
        status = in_child(open_and_die, f, 0);
        check_as_a_tool(f, 2000);
        assert_int_equal(fixture_reopen(f), SHM_OK);
        assert_int_equal(shm_control()->ids.count, shm_bucket_count(40000));
        for (unsigned key = 0; key < SHM_KEYS; key++)
            assert_int_equal(shm_control()->unique[key].count,
                             (to >> key & 1) != 0 ? shm_bucket_count(40000) : 0);
        check_all(f, 2000);
        check_key(f, 1, 1999, (to & 2) != 0 ? SHM_OK : SHM_EINVAL);
        fixture_teardown(state);
    } while (WIFSIGNALED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_true(kills > 10);
}

static void killed_rebuild_is_continued_by_the_next_owner(void **state)
{
    rebuild_killed_at_every_step(state, "rebuild step", 1, 3);
    rebuild_killed_at_every_step(state, "before seal", 2, 1);
    rebuild_killed_at_every_step(state, "sealed", 0, 2);
    rebuild_killed_at_every_step(state, "half replayed", 0, 1);
}

static void abandoned_partly_built_index_is_freed(void **state)
{
    struct fixture *f = *state;
    make(f, 2000, 0);
    users_insert(f->actor, 0, 2000, 100);
    fixture_close(f);
    f->config.unique = 1;
    kill_point = "rebuild step";
    kill_after = 5;
    assert_true(WIFSIGNALED(in_child(open_and_die, f, 0)));
    f->config.unique = 0;
    assert_int_equal(fixture_reopen(f), SHM_OK);
    check_key(f, 0, 7, SHM_EINVAL);
    check_all(f, 2000);
}

static void no_room_for_larger_tables_leaves_the_old_ones(void **state)
{
    struct fixture *f = *state;
    f->config.size = 20 << 20;
    make(f, USERS, 0);
    users_insert(f->actor, 0, USERS, 100);
    fixture_close(f);
    f->config.max_users = 20000000;
    assert_int_equal(fixture_reopen(f), SHM_ELIMIT);
    assert_non_null(strstr(f->fault.text, "no room for its larger tables"));
    f->config.max_users = USERS;
    assert_int_equal(fixture_reopen(f), SHM_OK);
    check_all(f, USERS);
    assert_int_equal(user_insert(f->actor, USERS, 64), SHM_EFULL);
}

/* ---- tools while a server starts ---- */

static void hold_to_write(struct fixture *f, int ready)
{
    struct shm_store *store;
    if (shm_store_attach(&store, f->name, SHM_ATTACH_WRITE, key_of, &f->fault) != SHM_OK ||
        write(ready, "r", 1) != 1)
        _exit(1);
    pause();
}

static void writing_tool_keeps_a_new_owner_out(void **state)
{
    struct fixture *f = *state;
    char byte;
    int pipe_fd[2];
    fixture_close(f);
    assert_int_equal(pipe(pipe_fd), 0);
    pid_t pid = start_child(hold_to_write, f, pipe_fd[1]);
    assert_int_equal(read(pipe_fd[0], &byte, 1), 1);
    assert_int_equal(fixture_reopen(f), SHM_EBUSY);
    assert_non_null(strstr(f->fault.text, "is writing to it"));
    assert_int_equal(shm_store_unlink(f->name, &f->fault), SHM_EBUSY);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    assert_int_equal(fixture_reopen(f), SHM_OK);
    close(pipe_fd[0]);
    close(pipe_fd[1]);
}

static void tool_that_would_write_is_refused_while_an_owner_checks(void **state)
{
    struct fixture *f = *state;
    char path[300];
    struct shm_store *tool;
    assert_int_equal(shm_file_path(path, f->name, NULL), SHM_OK);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(shm_guests_exclude(fd, f->name, &f->fault), SHM_OK);
    fixture_close(f);
    assert_int_equal(shm_store_attach(&tool, f->name, SHM_ATTACH_WRITE, key_of, &f->fault),
                     SHM_EBUSY);
    assert_non_null(strstr(f->fault.text, "a server is checking it"));
    assert_int_equal(shm_store_attach(&tool, f->name, SHM_ATTACH_READ, NULL, &f->fault), SHM_OK);
    shm_store_close(tool);
    close(fd);
    assert_int_equal(shm_store_attach(&tool, f->name, SHM_ATTACH_WRITE, key_of, &f->fault), SHM_OK);
    shm_store_close(tool);
    assert_int_equal(fixture_reopen(f), SHM_OK);
}

static void read_for_ever(struct fixture *f, int ready)
{
    if (shm_store_attach(&f->store, f->name, SHM_ATTACH_READ, key_of, &f->fault) != SHM_OK ||
        shm_actor_join(&f->actor, f->store, SHM_ACTOR_TOOL, 0, &f->fault) != SHM_OK ||
        write(ready, "r", 1) != 1)
        _exit(1);
    for (uint64_t n = 0;; n = (n + 1) % USERS) {
        struct shm_user user;
        uint8_t id[SHM_ID_SIZE];
        user_id(id, n);
        if (shm_user_find(f->actor, id, &user) != SHM_OK)
            _exit(2);
        shm_actor_offline(f->actor);
    }
}

static void reading_tool_finds_every_user_while_tables_move(void **state)
{
    struct fixture *f = *state;
    char byte;
    int status;
    int pipe_fd[2];
    make(f, USERS, 0);
    users_insert(f->actor, 0, USERS, 100);
    fixture_close(f);
    assert_int_equal(pipe(pipe_fd), 0);
    pid_t pid = start_child(read_for_ever, f, pipe_fd[1]);
    assert_int_equal(read(pipe_fd[0], &byte, 1), 1);
    for (uint64_t max_users = 20000; max_users < 1000000; max_users *= 2) {
        f->config.max_users = max_users;
        f->config.unique ^= 1;
        assert_int_equal(fixture_reopen(f), SHM_OK);
        fixture_close(f);
    }
    assert_int_equal(waitpid(pid, &status, WNOHANG), 0); /* the tool has not missed a user */
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    assert_int_equal(fixture_reopen(f), SHM_OK);
    check_all(f, USERS);
    close(pipe_fd[0]);
    close(pipe_fd[1]);
}

static void tool_grows_a_dead_servers_segment(void **state)
{
    struct fixture *f = *state;
    make(f, 100000, 0);
    users_insert(f->actor, 0, 100, 10);
    fixture_close(f);
    assert_int_equal(shm_store_attach(&f->store, f->name, SHM_ATTACH_WRITE, key_of, &f->fault),
                     SHM_OK);
    assert_int_equal(shm_actor_join(&f->actor, f->store, SHM_ACTOR_TOOL, 0, &f->fault), SHM_OK);
    uint64_t end = shm_control()->arena_end;
    users_insert(f->actor, 100, 30000, 100);
    assert_true(shm_control()->arena_end > end);
    fixture_close(f);
    assert_int_equal(fixture_reopen(f), SHM_OK);
    check_all(f, 30000);
}

/* ---- segments moved aside ---- */

static void segment_set_aside_keeps_its_users(void **state)
{
    struct fixture *f = *state;
    char moved_to[256], again[256];
    users_insert(f->actor, 0, 50, 10);
    assert_int_equal(shm_store_set_aside(f->name, moved_to, &f->fault), SHM_EOWNED);
    fixture_close(f);
    assert_int_equal(shm_store_set_aside(f->name, moved_to, &f->fault), SHM_OK);
    assert_int_equal(strncmp(moved_to, f->name, strlen(f->name)), 0);
    assert_int_equal(moved_to[strlen(f->name)], '.');
    assert_int_equal(shm_store_set_aside(f->name, again, &f->fault), SHM_ENOSEG);
    assert_int_equal(fixture_reopen(f), SHM_OK);
    segment_check(f->store, 0);
    fixture_close(f);
    assert_int_equal(shm_store_set_aside(f->name, again, &f->fault), SHM_OK);
    assert_string_not_equal(again, moved_to);
    assert_int_equal(shm_store_unlink(again, &f->fault), SHM_OK);
    const char *name = f->config.name;
    f->config.name = moved_to;
    assert_int_equal(fixture_reopen(f), SHM_OK);
    check_all(f, 50);
    fixture_close(f);
    f->config.name = name;
    assert_int_equal(shm_store_unlink(moved_to, &f->fault), SHM_OK);
    assert_int_equal(fixture_reopen(f), SHM_OK);
}

static void segment_set_aside_is_put_back(void **state)
{
    struct fixture *f = *state;
    char moved_to[256];
    users_insert(f->actor, 0, 50, 10);
    fixture_close(f);
    assert_int_equal(shm_store_set_aside(f->name, moved_to, &f->fault), SHM_OK);
    assert_int_equal(fixture_reopen(f), SHM_OK);
    fixture_close(f);
    assert_int_equal(shm_store_move(moved_to, f->name, &f->fault), SHM_ESYS);
    assert_int_equal(shm_store_unlink(f->name, &f->fault), SHM_OK);
    assert_int_equal(shm_store_move(moved_to, f->name, &f->fault), SHM_OK);
    assert_int_equal(shm_store_move(moved_to, f->name, &f->fault), SHM_ENOSEG);
    assert_int_equal(fixture_reopen(f), SHM_OK);
    check_all(f, 50);
}

static void invalid_file_is_set_aside_too(void **state)
{
    struct fixture *f = *state;
    char moved_to[256];
    char path[300];
    fixture_close(f);
    assert_int_equal(shm_file_path(path, f->name, NULL), SHM_OK);
    int fd = open(path, O_RDWR | O_CLOEXEC | O_TRUNC);
    assert_int_equal(write(fd, "garbage", 7), 7);
    close(fd);
    assert_int_equal(fixture_reopen(f), SHM_ECORRUPT);
    assert_int_equal(shm_store_set_aside(f->name, moved_to, &f->fault), SHM_OK);
    assert_int_equal(shm_store_unlink(moved_to, &f->fault), SHM_OK);
    assert_int_equal(fixture_reopen(f), SHM_OK);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        WITH(larger_max_users_makes_a_larger_table),
        WITH(memory_of_the_old_table_is_reused),
        WITH(chain_of_many_dead_users_is_moved),
        WITH(other_unique_builds_and_drops_indexes),
        WITH(shared_keys_are_named_and_nothing_changes),
        cmocka_unit_test(killed_rebuild_is_continued_by_the_next_owner),
        WITH(abandoned_partly_built_index_is_freed),
        WITH(no_room_for_larger_tables_leaves_the_old_ones),
        WITH(writing_tool_keeps_a_new_owner_out),
        WITH(tool_that_would_write_is_refused_while_an_owner_checks),
        WITH(reading_tool_finds_every_user_while_tables_move),
        WITH(tool_grows_a_dead_servers_segment),
        WITH(segment_set_aside_keeps_its_users),
        WITH(segment_set_aside_is_put_back),
        WITH(invalid_file_is_set_aside_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
