/* SPDX-License-Identifier: MIT */
/* How writers, waiting processes and the journal work together: conflicts, the backlog, the bell.
 */
#include "tests/shm/durable/durable_fixture.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/core/publication.h"
#include "shm/core/test_points.h"

void (*shm_test_hook)(const char *point);

/* ---- on which commit an answer rests ---- */

static void refused(struct fixture *f, enum shm_change_kind kind, uint64_t n, size_t count, int rc,
                    uint64_t version)
{
    struct shm_conflict conflict;
    assert_int_equal(durable_write(f->actor, kind, n, count, 0, &conflict), rc);
    assert_int_equal(conflict.version, version);
}

/* Inserts or updates the user with the unique key of another one. */
static int write_with_key(struct fixture *f, enum shm_change_kind kind, uint64_t n, uint64_t key,
                          struct shm_conflict *conflict)
{
    uint64_t body[2] = {key, 1};
    struct shm_new_user user = {.body = (const uint8_t *)body, .body_len = sizeof(body)};
    user_id(user.id, n);
    return kind == SHM_CREATED ? shm_users_insert(f->actor, &user, 1, conflict)
                               : shm_users_update(f->actor, &user, 1, conflict);
}

static void refusal_names_the_commit_on_which_it_rests(void **state)
{
    struct fixture *f = *state;
    struct shm_conflict conflict;
    uint64_t created = durable_commit(f, SHM_CREATED, 1, 1);
    durable_commit(f, SHM_CREATED, 2, 1);
    durable_commit(f, SHM_UPDATED, 1, 2); /* not what a refusal rests on */
    refused(f, SHM_CREATED, 1, 1, SHM_EEXIST, created);
    refused(f, SHM_CREATED, 0, 3, SHM_EEXIST, created);
    assert_int_equal(write_with_key(f, SHM_CREATED, 9, 1, &conflict), SHM_EKEY);
    assert_int_equal(conflict.version, created);
    assert_int_equal(write_with_key(f, SHM_UPDATED, 2, 1, &conflict), SHM_EKEY);
    assert_int_equal(conflict.version, created);
    refused(f, SHM_UPDATED, 7, 1, SHM_ENOENT, 0);
    uint64_t deleted = durable_commit(f, SHM_DELETED, 1, 0);
    refused(f, SHM_UPDATED, 1, 1, SHM_ENOENT, deleted);
    refused(f, SHM_DELETED, 1, 1, SHM_ENOENT, deleted);
    assert_int_equal(durable_write(f->actor, SHM_CREATED, 20, 5, 1, &conflict), SHM_OK);
    assert_int_equal(conflict.version, deleted + 1);
    assert_int_equal(durable_write(f->actor, SHM_DELETED, 20, 5, 1, &conflict), SHM_OK);
    assert_int_equal(conflict.version, deleted + 2);
    segment_check(f->store, 1);
}

/* No commit creates the other user, so nobody could wait for it. */
static void duplicate_within_a_batch_rests_on_no_commit(void **state)
{
    struct fixture *f = *state;
    struct shm_conflict conflict;
    uint64_t bodies[2][2] = {{1, 1}, {2, 2}};
    struct shm_new_user users[2] = {0};
    for (size_t i = 0; i < 2; i++) {
        users[i].body = (const uint8_t *)bodies[i];
        users[i].body_len = sizeof(bodies[i]);
        user_id(users[i].id, 5);
    }
    assert_int_equal(shm_users_insert(f->actor, users, 2, &conflict), SHM_EEXIST);
    assert_int_equal(conflict.version, 0);
    user_id(users[1].id, 6);
    bodies[1][0] = 1;
    assert_int_equal(shm_users_insert(f->actor, users, 2, &conflict), SHM_EKEY);
    assert_int_equal(conflict.version, 0);
}

/* ---- waiting ---- */

static void note_slot(void *data, unsigned slot)
{
    *(uint64_t *)data |= UINT64_C(1) << slot;
}

static uint64_t woken(struct fixture *f)
{
    uint64_t slots = 0;
    shm_waiters(f->store, note_slot, &slots);
    return slots;
}

static void waiters_are_found_when_their_commit_is_published(void **state)
{
    struct fixture *f = *state;
    struct shm_actor *other;
    assert_int_equal(shm_actor_join(&other, f->store, SHM_ACTOR_WORKER, 1, &f->fault), SHM_OK);
    uint64_t mine = UINT64_C(1) << shm_actor_slot(f->actor);
    uint64_t others = UINT64_C(1) << shm_actor_slot(other);
    for (uint64_t n = 1; n <= 3; n++)
        durable_commit(f, SHM_CREATED, n, n);
    durable_publish_version(f, 1);
    assert_false(shm_wait_begin(f->actor, 1));
    assert_true(shm_wait_begin(f->actor, 3));
    assert_true(shm_wait_begin(other, 2));
    assert_int_equal(woken(f), 0);
    durable_publish_version(f, 2);
    assert_int_equal(woken(f), others);
    assert_int_equal(woken(f), others); /* until it says that it waits no more */
    shm_wait_end(other);
    assert_int_equal(woken(f), 0);
    assert_true(shm_wait_begin(other, 3));
    durable_publish(f);
    assert_int_equal(woken(f), mine | others);
    assert_false(shm_wait_begin(other, 3));
    shm_actor_leave(other); /* a slot that is free waits for nothing */
    assert_int_equal(woken(f), mine);
    shm_wait_end(f->actor);
    assert_int_equal(woken(f), 0);
}

/* ---- the backlog ---- */

static void fill_backlog(struct fixture *f, uint64_t changes)
{
    while (changes > 0) {
        size_t count = changes < SHM_BATCH_MAX ? (size_t)changes : SHM_BATCH_MAX;
        assert_int_equal(durable_write(f->actor, SHM_UPDATED, 0, count, changes, NULL), SHM_OK);
        changes -= count;
    }
}

static void writers_wait_for_a_journal_that_is_half_the_ring_behind(void **state)
{
    struct fixture *f = *state;
    struct shm_disk_info disk;
    assert_int_equal(durable_write(f->actor, SHM_CREATED, 0, SHM_BATCH_MAX, 1, NULL), SHM_OK);
    fill_backlog(f, SHM_BACKLOG_MAX - SHM_BATCH_MAX - 2);
    shm_disk_info(f->store, &disk);
    assert_int_equal(disk.behind, 8190);
    /* a batch needs room for all of its users */
    refused(f, SHM_UPDATED, 0, 3, SHM_EBUSY, 0);
    refused(f, SHM_CREATED, 500, 3, SHM_EBUSY, 0);
    refused(f, SHM_DELETED, 0, 3, SHM_EBUSY, 0);
    fill_backlog(f, 2);
    shm_disk_info(f->store, &disk);
    assert_int_equal(disk.behind, 8192);
    refused(f, SHM_UPDATED, 0, 1, SHM_EBUSY, 0);
    refused(f, SHM_CREATED, 500, 1, SHM_EBUSY, 0);
    refused(f, SHM_DELETED, 0, 1, SHM_EBUSY, 0);
    /* the ring has them all: the journal never has to compare tables */
    struct shm_follower follower;
    struct shm_change change;
    uint64_t count = 0;
    assert_int_equal(shm_feed_follow(NULL, &follower, 0), SHM_OK);
    while (shm_feed_next_until(&follower, shm_newest(f->store), &change) == SHM_OK)
        count++;
    assert_int_equal(count, 8192);
    struct shm_durable durable = {.version = 1, .feed = SHM_BATCH_MAX, .users = SHM_BATCH_MAX};
    assert_int_equal(shm_publish(f->actor, &durable), SHM_OK);
    fill_backlog(f, SHM_BATCH_MAX);
    refused(f, SHM_UPDATED, 0, 1, SHM_EBUSY, 0);
    durable_publish(f);
    fill_backlog(f, SHM_BACKLOG_MAX);
    refused(f, SHM_UPDATED, 0, 1, SHM_EBUSY, 0);
}

static void backlog_is_bounded_where_readers_see_all(void **state)
{
    struct fixture *f = *state;
    f->config.durable = false;
    assert_int_equal(durable_renew(f), SHM_OK);
    assert_int_equal(durable_write(f->actor, SHM_CREATED, 0, SHM_BATCH_MAX, 1, NULL), SHM_OK);
    fill_backlog(f, SHM_BACKLOG_MAX - SHM_BATCH_MAX);
    refused(f, SHM_UPDATED, 0, 1, SHM_EBUSY, 0);
    durable_publish(f);
    fill_backlog(f, 1);
}

static void memory_only_has_no_backlog(void **state)
{
    struct fixture *f = *state;
    f->config.data_file = NULL;
    assert_int_equal(durable_renew(f), SHM_OK);
    assert_int_equal(durable_write(f->actor, SHM_CREATED, 0, SHM_BATCH_MAX, 1, NULL), SHM_OK);
    fill_backlog(f, UINT64_C(3) * SHM_FEED_SIZE);
}

/* ---- the state of the file ---- */

static void failed_file_makes_the_table_read_only(void **state)
{
    struct fixture *f = *state;
    struct shm_disk_info disk;
    durable_commit(f, SHM_CREATED, 1, 1);
    durable_publish(f);
    shm_disk_info(f->store, &disk);
    assert_int_equal(disk.state, SHM_DISK_OK);
    assert_string_equal(disk.path, f->config.data_file);
    const enum shm_disk_state writable[] = {SHM_DISK_FULL, SHM_DISK_REWRITING, SHM_DISK_OK};
    for (uint64_t i = 0; i < 3; i++) {
        shm_disk_set_state(f->store, writable[i], ENOSPC);
        durable_commit(f, SHM_UPDATED, 1, i + 2);
    }
    uint64_t before = clock_monotonic_ms();
    shm_disk_set_state(f->store, SHM_DISK_FAILED, EIO);
    shm_disk_info(f->store, &disk);
    assert_int_equal(disk.state, SHM_DISK_FAILED);
    assert_int_equal(disk.error, EIO);
    assert_in_range(disk.since_ms, before, clock_monotonic_ms());
    const uint64_t since = disk.failed_ms;
    assert_in_range(since, before, disk.since_ms);
    for (uint64_t begin = clock_monotonic_ms(); clock_monotonic_ms() < begin + 3;)
        continue;
    shm_disk_set_state(f->store, SHM_DISK_FULL, EIO); /* the same failure */
    shm_disk_set_state(f->store, SHM_DISK_FAILED, EIO);
    shm_disk_info(f->store, &disk);
    assert_int_equal(disk.failed_ms, since);
    assert_in_range(disk.since_ms, since + 3, clock_monotonic_ms());
    refused(f, SHM_UPDATED, 1, 1, SHM_EREADONLY, 0);
    refused(f, SHM_CREATED, 2, 2, SHM_EREADONLY, 0);
    refused(f, SHM_DELETED, 1, 1, SHM_EREADONLY, 0);
    durable_check(f->actor, 1, 1);
    segment_check(f->store, 1);
    fixture_close(f); /* the next owner tries again */
    assert_int_equal(fixture_reopen(f), SHM_OK);
    durable_commit(f, SHM_UPDATED, 1, 7);
}

/* ---- the bell ---- */

enum { LONG_MS = 60000 };

static const char *the_point;
static void (*meanwhile)(void);

static void at_point(const char *point)
{
    if (strcmp(point, the_point) != 0)
        return;
    shm_test_hook = NULL;
    meanwhile();
}

static void run_at(const char *point, void (*run)(void))
{
    the_point = point;
    meanwhile = run;
    shm_test_hook = at_point;
}

/* Asserts that the journal does not sleep for the whole time. */
static void sleep_and_be_woken(struct fixture *f, uint64_t version)
{
    uint64_t before = clock_monotonic_ms();
    shm_disk_sleep(f->actor, version, LONG_MS);
    assert_true(clock_monotonic_ms() - before < LONG_MS / 2);
    assert_int_equal(shm_control()->disk.sleeping, 0);
}

/* Waits until the journal is in its system call, or about to be. */
static void await_sleeper(void)
{
    while (__atomic_load_n(&shm_control()->disk.sleeping, __ATOMIC_ACQUIRE) == 0)
        usleep(100);
    usleep(1000);
}

static void *commit_when_it_sleeps(void *data)
{
    struct fixture *f = data;
    struct shm_actor *actor;
    if (shm_actor_join(&actor, f->store, SHM_ACTOR_WORKER, 1, NULL) != SHM_OK)
        return NULL;
    await_sleeper();
    int rc = durable_write(actor, SHM_CREATED, 1, 1, 1, NULL);
    shm_actor_leave(actor);
    return rc == SHM_OK ? data : NULL;
}

static void *wake_when_it_sleeps(void *data)
{
    struct fixture *f = data;
    await_sleeper();
    shm_disk_wake(f->store);
    return data;
}

static void sleeper_wakes(struct fixture *f, void *(*run)(void *data))
{
    pthread_t thread;
    void *result;
    assert_int_equal(pthread_create(&thread, NULL, run, f), 0);
    sleep_and_be_woken(f, shm_newest(f->store));
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_ptr_equal(result, f);
}

static void commit_wakes_the_journal(void **state)
{
    struct fixture *f = *state;
    sleeper_wakes(f, commit_when_it_sleeps);
    assert_int_equal(shm_newest(f->store), 1);
}

static void call_wakes_the_journal(void **state)
{
    sleeper_wakes(*state, wake_when_it_sleeps);
}

static void journal_with_work_does_not_sleep(void **state)
{
    struct fixture *f = *state;
    uint64_t version = durable_commit(f, SHM_CREATED, 1, 1);
    sleep_and_be_woken(f, version - 1);
    uint64_t before = clock_monotonic_ms();
    shm_disk_sleep(f->actor, version, 20);
    assert_true(clock_monotonic_ms() - before >= 19);
}

static struct shm_actor *other;

static void commit_by_the_other(void)
{
    assert_int_equal(durable_write(other, SHM_CREATED, 2, 1, 1, NULL), SHM_OK);
}

static void commit_by_another(void)
{
    assert_int_equal(durable_write(other, SHM_CREATED, 3, 1, 1, NULL), SHM_OK);
}

static void commit_between_look_and_sleep_is_not_missed(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(shm_actor_join(&other, f->store, SHM_ACTOR_WORKER, 1, &f->fault), SHM_OK);
    uint64_t version = durable_commit(f, SHM_CREATED, 1, 1);
    run_at("about to sleep", commit_by_the_other);
    sleep_and_be_woken(f, version);
    assert_null(shm_test_hook);
    version = shm_newest(f->store);
    run_at("about to wait", commit_by_another);
    sleep_and_be_woken(f, version);
    assert_null(shm_test_hook);
    shm_actor_leave(other);
}

/* A writer dies between its commit and the system call that would wake the journal. */
static void die(void)
{
    _exit(42);
}

static void commit_and_die(struct fixture *f, int argument)
{
    struct shm_actor *actor;
    (void)argument;
    if (shm_actor_join(&actor, f->store, SHM_ACTOR_WORKER, 1, NULL) != SHM_OK)
        _exit(1);
    await_sleeper();
    run_at("bell half rung", die);
    (void)durable_write(actor, SHM_CREATED, 1, 1, 1, NULL);
    _exit(1);
}

static void *commit_after_a_dead_one(void *data)
{
    struct fixture *f = data;
    struct shm_actor *actor;
    void *result = NULL;
    int status = in_child(commit_and_die, f, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 42 &&
        __atomic_load_n(&shm_control()->disk.sleeping, __ATOMIC_ACQUIRE) != 0)
        result = data;
    if (shm_actor_join(&actor, f->store, SHM_ACTOR_WORKER, 2, NULL) != SHM_OK)
        return NULL;
    if (durable_write(actor, SHM_CREATED, 2, 1, 1, NULL) != SHM_OK)
        result = NULL;
    shm_actor_leave(actor);
    return result;
}

static void writer_that_dies_while_it_rings_silences_no_other(void **state)
{
    struct fixture *f = *state;
    sleeper_wakes(f, commit_after_a_dead_one);
    assert_int_equal(shm_newest(f->store), 2);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, durable_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        WITH(refusal_names_the_commit_on_which_it_rests),
        WITH(duplicate_within_a_batch_rests_on_no_commit),
        WITH(waiters_are_found_when_their_commit_is_published),
        WITH(writers_wait_for_a_journal_that_is_half_the_ring_behind),
        WITH(backlog_is_bounded_where_readers_see_all),
        WITH(memory_only_has_no_backlog),
        WITH(failed_file_makes_the_table_read_only),
        WITH(commit_wakes_the_journal),
        WITH(call_wakes_the_journal),
        WITH(journal_with_work_does_not_sleep),
        WITH(commit_between_look_and_sleep_is_not_missed),
        WITH(writer_that_dies_while_it_rings_silences_no_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
