/* SPDX-License-Identifier: MIT */
/* Several processes on one segment, some of which die. Uses a library that is built with kill
 * points. */
#include "tests/shm/support.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/core/test_points.h"
#include "shm/core/writer_lock.h"

void (*shm_test_hook)(const char *point);

static const char *kill_point;

static void kill_at_point(const char *point)
{
    if (strcmp(point, kill_point) == 0)
        kill(getpid(), SIGKILL);
}

static struct shm_actor *join(struct fixture *f, unsigned number)
{
    struct shm_actor *actor = NULL;
    if (shm_actor_join(&actor, f->store, SHM_ACTOR_WORKER, number, &f->fault) != SHM_OK)
        _exit(98);
    return actor;
}

/* ---- a writer dies at each point of the protocol ---- */

static const struct {
    const char *name;
    bool committed;
} points[] = {
    {"locked", false},   {"before seal", false},  {"sealed", true},   {"half published", true},
    {"published", true}, {"half replayed", true}, {"replayed", true}, {"applied", true},
};
enum { POINTS = sizeof(points) / sizeof(*points) };

static void insert_and_die(struct fixture *f, int count)
{
    struct shm_actor *actor = join(f, 1);
    shm_test_hook = kill_at_point;
    users_insert(actor, 100, 100 + (uint64_t)count, (size_t)count);
}

static void recover_and_die(struct fixture *f, int argument)
{
    (void)argument;
    shm_test_hook = kill_at_point;
    shm_writer_lock(f->store);
}

static void check_survivor(struct fixture *f, size_t point, uint64_t count)
{
    struct shm_user user;
    uint8_t id[SHM_ID_SIZE];
    users_insert(f->actor, 500, 510, 5);           /* takes the dead writer's lock */
    assert_int_equal(shm_actor_reap(f->store), 1); /* reaps its slot; the lock was recovered */
    segment_check(f->store, 110 + (points[point].committed ? count : 0));
    for (uint64_t n = 100; n < 100 + count; n++) {
        user_id(id, n);
        assert_int_equal(shm_user_find(f->actor, id, &user),
                         points[point].committed ? SHM_OK : SHM_ENOENT);
    }
}

static void writer_killed_at(void **state, uint64_t count, bool twice)
{
    for (size_t point = 0; point < POINTS; point++) {
        assert_int_equal(fixture_setup(state), 0);
        struct fixture *f = *state;
        users_insert(f->actor, 0, 100, 10);
        kill_point = points[point].name;
        int status = in_child(insert_and_die, f, (int)count);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
            fail_msg("the writer was not killed at \"%s\"", kill_point);
        if (twice) {
            kill_point = "half replayed";
            in_child(recover_and_die, f, 0);
        }
        check_survivor(f, point, count);
        fixture_teardown(state);
    }
}

static void killed_writer_of_one_leaves_all_or_nothing(void **state)
{
    writer_killed_at(state, 1, false);
}

static void killed_writer_of_a_batch_leaves_all_or_nothing(void **state)
{
    writer_killed_at(state, SHM_BATCH_MAX, false);
}

static void recovering_process_may_be_killed_too(void **state)
{
    writer_killed_at(state, 200, true);
}

static void next_owner_finishes_a_dead_servers_commit(void **state)
{
    for (size_t point = 0; point < POINTS; point++) {
        assert_int_equal(fixture_setup(state), 0);
        struct fixture *f = *state;
        users_insert(f->actor, 0, 100, 10);
        kill_point = points[point].name;
        in_child(insert_and_die, f, 50);
        fixture_close(f);
        assert_int_equal(fixture_reopen(f), SHM_OK);
        segment_check(f->store, points[point].committed ? 150 : 100);
        fixture_teardown(state);
    }
}

static void grow_and_die(struct fixture *f, int argument)
{
    struct shm_actor *actor = join(f, 1);
    (void)argument;
    shm_test_hook = kill_at_point;
    for (uint64_t n = 200; n < 1000; n++)
        if (user_insert(actor, n, 4000) != SHM_OK)
            _exit(1);
}

static void process_killed_during_growth_costs_nothing(void **state)
{
    struct fixture *f = *state;
    kill_point = "allocated";
    int status = in_child(grow_and_die, f, 0);
    assert_true(WIFSIGNALED(status));
    struct shm_info info;
    shm_store_info(f->store, &info);
    for (uint64_t n = 2000; n < 2200; n++)
        assert_int_equal(user_insert(f->actor, n, 4000), SHM_OK);
    segment_check(f->store, info.users + 200);
}

/* ---- slots and locks ---- */

static void pin_and_die(struct fixture *f, int argument)
{
    struct shm_snapshot snapshot;
    struct shm_actor *actor = join(f, 7);
    (void)argument;
    shm_actor_online(actor);
    shm_snapshot_begin(actor, &snapshot);
    kill(getpid(), SIGKILL);
}

static void slot_of_a_killed_process_is_reaped(void **state)
{
    struct fixture *f = *state;
    struct shm_info info;
    in_child(pin_and_die, f, 0);
    in_child(pin_and_die, f, 0); /* gets the same slot */
    shm_store_info(f->store, &info);
    assert_int_equal(info.actors, 2);
    assert_true(shm_slot(1)->ctr != 0);
    assert_int_equal(shm_actor_reap(f->store), 1);
    assert_int_equal(shm_actor_reap(f->store), 0);
    assert_int_equal(shm_slot(1)->ctr, 0);
    for (unsigned i = 0; i < SHM_PINS; i++)
        assert_int_equal(shm_slot(1)->pins[i].count, 0);
    shm_store_info(f->store, &info);
    assert_int_equal(info.actors, 1);
}

static void stop_in_lock(const char *point)
{
    if (strcmp(point, "before seal") == 0)
        raise(SIGSTOP);
}

static void insert_and_stop(struct fixture *f, int argument)
{
    struct shm_actor *actor = join(f, 1);
    (void)argument;
    shm_test_hook = stop_in_lock;
    users_insert(actor, 100, 101, 1);
}

static void stopped_writer_delays_no_reader_and_writers_get_busy(void **state)
{
    struct fixture *f = *state;
    int status;
    users_insert(f->actor, 0, 10, 1);
    pid_t pid = start_child(insert_and_stop, f, 0);
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    assert_true(WIFSTOPPED(status));
    uint64_t start = clock_monotonic_ms();
    for (uint64_t i = 0; i < 20; i++)
        assert_int_equal(user_insert(f->actor, 200, 8), SHM_EBUSY);
    assert_true(clock_monotonic_ms() - start <
                2000); /* 20 times 50 us, plus time for a busy machine */
    assert_user(f->actor, 9);
    kill(pid, SIGCONT);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    segment_check(f->store, 11);
}

/* ---- writers and readers at once ---- */

enum { WRITERS = 2, EACH = 3000, STEP = 6 };

static void write_many(struct fixture *f, int number)
{
    struct shm_actor *actor = join(f, (unsigned)number);
    uint64_t from = 10000 * ((uint64_t)number + 1);
    users_insert(actor, from, from + EACH, STEP);
    shm_actor_leave(actor);
}

/* Each commit has STEP users of one writer. So a snapshot must have a multiple of STEP, in
 * order, and each of its users must be found. */
static void read_many(struct fixture *f, int number)
{
    struct shm_actor *actor = join(f, (unsigned)number);
    for (uint64_t seen = 0; seen < WRITERS * EACH;) {
        struct shm_snapshot snapshot;
        struct shm_cursor cursor;
        struct shm_user user, found;
        uint64_t last = 0, count = 0;
        if (shm_snapshot_begin(actor, &snapshot) != SHM_OK)
            _exit(2);
        shm_cursor_first(&cursor, actor, &snapshot);
        for (; next_user(&cursor, &user) == SHM_OK; count++, last = user.seq)
            if (user.seq != last + 1 || user.version > snapshot.version ||
                shm_user_find(actor, user.id, &found) != SHM_OK || found.seq != user.seq)
                _exit(3);
        shm_snapshot_end(actor, &snapshot);
        shm_actor_offline(actor);
        if (count % STEP != 0 || count < seen)
            _exit(4);
        seen = count;
    }
    shm_actor_leave(actor);
}

static void readers_see_whole_commits_while_writers_write(void **state)
{
    struct fixture *f = *state;
    pid_t pids[WRITERS + 1];
    fixture_close(f);
    f->config.max_users = 100000;
    assert_int_equal(shm_store_unlink(f->name, NULL), SHM_OK);
    assert_int_equal(fixture_reopen(f), SHM_OK);
    for (int i = 0; i < WRITERS; i++)
        pids[i] = start_child(write_many, f, i);
    pids[WRITERS] = start_child(read_many, f, WRITERS);
    for (int i = 0; i <= WRITERS; i++) {
        int status;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
    segment_check(f->store, WRITERS * EACH);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed_writer_of_one_leaves_all_or_nothing),
        cmocka_unit_test(killed_writer_of_a_batch_leaves_all_or_nothing),
        cmocka_unit_test(recovering_process_may_be_killed_too),
        cmocka_unit_test(next_owner_finishes_a_dead_servers_commit),
        WITH(process_killed_during_growth_costs_nothing),
        WITH(slot_of_a_killed_process_is_reaped),
        WITH(stopped_writer_delays_no_reader_and_writers_get_busy),
        WITH(readers_see_whole_commits_while_writers_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
