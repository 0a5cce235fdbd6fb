/* SPDX-License-Identifier: MIT */
/* Updates and deletes: which reader sees which version, and when old versions are freed. */
#include "tests/shm/support.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/core/mapping.h"
#include "shm/core/test_points.h"
#include "shm/core/writer_lock.h"

void (*shm_test_hook)(const char *point);

static void make_body(uint8_t body[64], uint64_t n, uint64_t value)
{
    memset(body, (int)(value % 251), 64);
    memcpy(body, &n, sizeof(n));
    memcpy(body + 8, &value, sizeof(value));
}

static int update(struct shm_actor *actor, uint64_t n, uint64_t value)
{
    uint8_t body[64];
    struct shm_new_user user = {.body = body, .body_len = sizeof(body)};
    user_id(user.id, n);
    make_body(body, n, value);
    return shm_users_update(actor, &user, 1, NULL);
}

static int delete_one(struct shm_actor *actor, uint64_t n)
{
    uint8_t id[1][SHM_ID_SIZE];
    user_id(id[0], n);
    return shm_users_delete(actor, (const uint8_t(*)[SHM_ID_SIZE])id, 1, NULL);
}

/* @return the user's value, UINT64_MAX if there is no such user */
static uint64_t value_of(struct shm_actor *actor, uint64_t n)
{
    struct shm_user user;
    uint8_t id[SHM_ID_SIZE];
    uint64_t value;
    user_id(id, n);
    if (shm_user_find(actor, id, &user) != SHM_OK)
        return UINT64_MAX;
    memcpy(&value, user.body + 8, sizeof(value));
    return value;
}

/* Creates users [0, count) with the value 0. */
static void fill(struct shm_actor *actor, uint64_t count)
{
    users_insert(actor, 0, count, 16);
    for (uint64_t n = 0; n < count; n++)
        assert_int_equal(update(actor, n, 0), SHM_OK);
    shm_actor_offline(actor);
}

/* Frees all memory that no reader needs. */
static void drain(struct shm_actor *actor)
{
    for (int i = 0; i < 1000 && shm_maintain(actor) < 100; i++)
        ;
}

static void assert_nothing_waits(const struct fixture *f)
{
    struct shm_info info;
    shm_store_info(f->store, &info);
    assert_int_equal(info.retired_count, 0);
    assert_int_equal(info.retired_bytes, 0);
    assert_int_equal(info.held_count, 0);
    assert_int_equal(info.held_bytes, 0);
}

/* Lists users. @return a sum of their numbers and values that depends on the order */
static uint64_t listing(struct shm_actor *actor, const struct shm_snapshot *snapshot,
                        uint64_t *count)
{
    struct shm_cursor cursor;
    struct shm_user user;
    uint64_t sum = 0;
    int rc;
    *count = 0;
    shm_cursor_first(&cursor, actor, snapshot);
    while ((rc = next_user(&cursor, &user)) == SHM_OK) {
        uint64_t words[2];
        memcpy(words, user.body, sizeof(words));
        sum = (sum ^ words[0] * 31 ^ words[1]) * UINT64_C(0x100000001b3);
        (*count)++;
    }
    assert_int_equal(rc, SHM_ENOENT);
    return sum;
}

/* ---- visibility ---- */

static void update_is_visible_at_once_but_not_in_older_snapshots(void **state)
{
    struct fixture *f = *state;
    struct shm_snapshot before, between, after;
    uint64_t count, sums[3];
    fill(f->actor, 20);
    assert_int_equal(shm_snapshot_begin(f->actor, &before), SHM_OK);
    sums[0] = listing(f->actor, &before, &count);
    assert_int_equal(update(f->actor, 7, 1), SHM_OK);
    assert_int_equal(value_of(f->actor, 7), 1);
    assert_int_equal(shm_snapshot_begin(f->actor, &between), SHM_OK);
    sums[1] = listing(f->actor, &between, &count);
    assert_int_equal(update(f->actor, 7, 2), SHM_OK);
    assert_int_equal(shm_snapshot_begin(f->actor, &after), SHM_OK);
    sums[2] = listing(f->actor, &after, &count);
    assert_true(sums[0] != sums[1] && sums[1] != sums[2]);
    drain(f->actor);
    segment_check(f->store, 20);
    assert_true(listing(f->actor, &before, &count) == sums[0]);
    assert_true(listing(f->actor, &between, &count) == sums[1]);
    assert_true(listing(f->actor, &after, &count) == sums[2]);
    shm_snapshot_end(f->actor, &between);
    drain(f->actor);
    assert_true(listing(f->actor, &before, &count) == sums[0]);
    shm_snapshot_end(f->actor, &before);
    shm_snapshot_end(f->actor, &after);
    drain(f->actor);
    assert_nothing_waits(f);
    segment_check(f->store, 20);
}

static void deleted_user_is_gone_but_visible_in_older_snapshots(void **state)
{
    struct fixture *f = *state;
    struct shm_snapshot snapshot;
    struct shm_info info;
    uint64_t count;
    fill(f->actor, 200);
    assert_int_equal(shm_snapshot_begin(f->actor, &snapshot), SHM_OK);
    uint64_t sum = listing(f->actor, &snapshot, &count);
    for (uint64_t n = 0; n < 200; n += 2)
        assert_int_equal(delete_one(f->actor, n), SHM_OK);
    assert_int_equal(delete_one(f->actor, 0), SHM_ENOENT);
    assert_int_equal(update(f->actor, 0, 1), SHM_ENOENT);
    assert_int_equal(value_of(f->actor, 2), UINT64_MAX);
    assert_int_equal(value_of(f->actor, 3), 0);
    shm_store_info(f->store, &info);
    assert_int_equal(info.users, 100);
    drain(f->actor);
    segment_check(f->store, 100);
    assert_true(listing(f->actor, &snapshot, &count) == sum);
    assert_int_equal(count, 200);
    shm_snapshot_end(f->actor, &snapshot);
    drain(f->actor);
    assert_nothing_waits(f);
    segment_check(f->store, 100);
    assert_int_equal(shm_snapshot_begin(f->actor, &snapshot), SHM_OK);
    listing(f->actor, &snapshot, &count);
    assert_int_equal(count, 100);
    shm_snapshot_end(f->actor, &snapshot);
}

static void deleted_id_can_be_created_again(void **state)
{
    struct fixture *f = *state;
    struct shm_snapshot old;
    uint64_t count;
    fill(f->actor, 10);
    assert_int_equal(shm_snapshot_begin(f->actor, &old), SHM_OK);
    uint64_t sum = listing(f->actor, &old, &count);
    for (uint64_t round = 1; round <= 5; round++) {
        assert_int_equal(delete_one(f->actor, 4), SHM_OK);
        users_insert(f->actor, 4, 5, 1);
        assert_int_equal(update(f->actor, 4, round), SHM_OK);
        assert_int_equal(value_of(f->actor, 4), round);
        drain(f->actor);
        segment_check(f->store, 10);
    }
    assert_true(listing(f->actor, &old, &count) == sum);
    shm_snapshot_end(f->actor, &old);
    drain(f->actor);
    assert_nothing_waits(f);
    segment_check(f->store, 10);
}

/* Each version of a user is held by another snapshot; the snapshots end in every order. */
static void versions_held_by_many_snapshots_are_freed_in_any_order(void **state)
{
    enum { N = 12 };
    struct fixture *f = *state;
    struct shm_snapshot snapshots[N];
    for (unsigned order = 0; order < 30; order++) {
        fill(f->actor, 3);
        for (unsigned i = 0; i < N; i++) {
            assert_int_equal(shm_snapshot_begin(f->actor, &snapshots[i]), SHM_OK);
            assert_int_equal(update(f->actor, 1, i), SHM_OK);
            drain(f->actor);
        }
        assert_int_equal(delete_one(f->actor, 1), SHM_OK);
        assert_int_equal(delete_one(f->actor, 0), SHM_OK);
        assert_int_equal(delete_one(f->actor, 2), SHM_OK);
        drain(f->actor);
        for (unsigned i = 0; i < N; i++) {
            shm_snapshot_end(f->actor, &snapshots[(i * 5 + order) % N]);
            if (order % 3 == 0)
                drain(f->actor);
            if (i == N / 2)
                segment_check(f->store, 0);
        }
        drain(f->actor);
        assert_nothing_waits(f);
        segment_check(f->store, 0);
    }
}

static void paused_cursor_continues_past_deleted_users(void **state)
{
    struct fixture *f = *state;
    struct shm_snapshot snapshot;
    struct shm_cursor cursor;
    struct shm_user user;
    fill(f->actor, 300);
    assert_int_equal(shm_snapshot_begin(f->actor, &snapshot), SHM_OK);
    shm_cursor_first(&cursor, f->actor, &snapshot);
    for (uint64_t n = 0; n < 100; n++)
        assert_int_equal(shm_cursor_next(&cursor, &user), SHM_OK);
    shm_actor_offline(f->actor);
    for (uint64_t n = 0; n < 300; n++)
        assert_int_equal(delete_one(f->actor, n), SHM_OK);
    drain(f->actor);
    users_insert(f->actor, 1000, 1300, 20);
    drain(f->actor);
    for (uint64_t n = 100; n < 300; n++) {
        uint64_t number;
        assert_int_equal(shm_cursor_next(&cursor, &user), SHM_OK);
        memcpy(&number, user.body, sizeof(number));
        assert_int_equal(number, n);
        shm_actor_offline(f->actor);
    }
    assert_int_equal(shm_cursor_next(&cursor, &user), SHM_ENOENT);
    shm_snapshot_end(f->actor, &snapshot);
    drain(f->actor);
    assert_nothing_waits(f);
    segment_check(f->store, 300);
}

static void page_token_of_a_deleted_user_continues_with_the_next(void **state)
{
    struct fixture *f = *state;
    struct shm_snapshot snapshot;
    struct shm_cursor cursor;
    struct shm_user user;
    uint8_t id[SHM_ID_SIZE];
    fill(f->actor, 1000);
    for (uint64_t n = 100; n < 900; n++)
        assert_int_equal(delete_one(f->actor, n), SHM_OK);
    drain(f->actor);
    for (uint64_t seq = 90; seq <= 910; seq++) {
        assert_int_equal(shm_snapshot_begin(f->actor, &snapshot), SHM_OK);
        user_id(id, seq - 1);
        assert_int_equal(shm_cursor_after(&cursor, f->actor, &snapshot, seq, id), SHM_OK);
        assert_int_equal(shm_cursor_next(&cursor, &user), SHM_OK);
        assert_int_equal(user.seq, seq < 100 || seq >= 900 ? seq + 1 : 901);
        shm_snapshot_end(f->actor, &snapshot);
    }
}

/* ---- batches and refusals ---- */

static void batch_is_all_or_nothing(void **state)
{
    struct fixture *f = *state;
    static uint8_t body[SHM_BATCH_MAX][64];
    struct shm_new_user users[SHM_BATCH_MAX] = {0};
    uint8_t ids[SHM_BATCH_MAX][SHM_ID_SIZE];
    struct shm_conflict conflict;
    fill(f->actor, SHM_BATCH_MAX);
    for (uint64_t i = 0; i < SHM_BATCH_MAX; i++) {
        user_id(users[i].id, i);
        user_id(ids[i], i);
        make_body(body[i], i, 9);
        users[i].body = body[i];
        users[i].body_len = 64;
    }
    uint64_t version = shm_control()->version;
    user_id(users[200].id, 5000);
    user_id(ids[200], 5000);
    assert_int_equal(shm_users_update(f->actor, users, SHM_BATCH_MAX, &conflict), SHM_ENOENT);
    assert_int_equal(conflict.which, 200);
    assert_int_equal(shm_users_delete(f->actor, (const void *)ids, SHM_BATCH_MAX, &conflict),
                     SHM_ENOENT);
    assert_int_equal(conflict.which, 200);
    user_id(users[200].id, 17);
    user_id(ids[200], 17);
    assert_int_equal(shm_users_update(f->actor, users, SHM_BATCH_MAX, &conflict), SHM_EINVAL);
    assert_int_equal(conflict.which, 200);
    assert_int_equal(shm_users_delete(f->actor, (const void *)ids, SHM_BATCH_MAX, &conflict),
                     SHM_EINVAL);
    assert_int_equal(conflict.which, 200);
    assert_int_equal(shm_control()->version, version);
    assert_int_equal(value_of(f->actor, 100), 0);
    user_id(users[200].id, 200);
    user_id(ids[200], 200);
    assert_int_equal(shm_users_update(f->actor, users, SHM_BATCH_MAX, &conflict), SHM_OK);
    assert_int_equal(shm_control()->version, version + 1);
    assert_int_equal(value_of(f->actor, 100), 9);
    segment_check(f->store, SHM_BATCH_MAX);
    assert_int_equal(shm_users_delete(f->actor, (const void *)ids, SHM_BATCH_MAX, NULL), SHM_OK);
    shm_actor_offline(f->actor);
    drain(f->actor);
    assert_nothing_waits(f);
    segment_check(f->store, 0);
}

static void bodies_of_different_sizes_replace_each_other(void **state)
{
    struct fixture *f = *state;
    static uint8_t body[SHM_BODY_MAX + 1];
    struct shm_new_user user = {.body = body};
    struct shm_user found;
    user_id(user.id, 1);
    users_insert(f->actor, 0, 10, 1);
    for (uint32_t len = 1; len <= SHM_BODY_MAX; len += 37) {
        memset(body, (int)(len % 255), len);
        user.body_len = len;
        assert_int_equal(shm_users_update(f->actor, &user, 1, NULL), SHM_OK);
        assert_int_equal(shm_user_find(f->actor, user.id, &found), SHM_OK);
        assert_int_equal(found.body_len, len);
        assert_memory_equal(found.body, body, len);
        shm_actor_offline(f->actor);
    }
    user.body_len = SHM_BODY_MAX + 1;
    assert_int_equal(shm_users_update(f->actor, &user, 1, NULL), SHM_EINVAL);
    user.body_len = 0;
    assert_int_equal(shm_users_update(f->actor, &user, 1, NULL), SHM_EINVAL);
    drain(f->actor);
    assert_nothing_waits(f);
    segment_check(f->store, 10);
}

/* ---- memory ---- */

static uint64_t bytes_used(const struct fixture *f)
{
    struct shm_info info;
    shm_store_info(f->store, &info);
    return info.bytes_used;
}

static void many_updates_of_few_users_take_little_memory(void **state)
{
    struct fixture *f = *state;
    struct shm_snapshot snapshot;
    uint64_t count;
    fill(f->actor, 10);
    drain(f->actor);
    assert_int_equal(shm_snapshot_begin(f->actor, &snapshot), SHM_OK);
    uint64_t sum = listing(f->actor, &snapshot, &count), before = bytes_used(f), most = 0;
    for (uint64_t i = 0; i < 100000; i++) {
        assert_int_equal(update(f->actor, i % 10, i), SHM_OK);
        shm_actor_offline(f->actor);
        most = bytes_used(f) > most ? bytes_used(f) : most;
    }
    assert_true(most - before < 200 * 128); /* some hundred bodies of 128 bytes, not 100,000 */
    drain(f->actor);
    assert_true(bytes_used(f) - before == 10 * 128); /* ten bodies, which the snapshot shows */
    assert_true(listing(f->actor, &snapshot, &count) == sum);
    shm_snapshot_end(f->actor, &snapshot);
    drain(f->actor);
    assert_true(bytes_used(f) == before);
    segment_check(f->store, 10);
}

static void full_segment_still_takes_updates(void **state)
{
    struct fixture *f = *state;
    struct shm_info info;
    fixture_close(f);
    assert_int_equal(shm_store_unlink(f->name, NULL), SHM_OK);
    f->config.size = 16 << 20;
    f->config.max_users = 100000;
    assert_int_equal(fixture_reopen(f), SHM_OK);
    fill(f->actor, 100);
    uint64_t n = 1000;
    while (user_insert(f->actor, n, 64) == SHM_OK)
        n++;
    assert_int_equal(user_insert(f->actor, n, 64), SHM_ELIMIT);
    shm_store_info(f->store, &info);
    assert_int_equal(info.bytes_mapped, f->config.size);
    assert_int_equal(delete_one(f->actor, 1), SHM_OK); /* needs no memory, and frees some */
    shm_actor_offline(f->actor);
    for (uint64_t i = 0; i < 1000; i++) {
        assert_int_equal(update(f->actor, 2, i), SHM_OK);
        shm_actor_offline(f->actor);
    }
    assert_int_equal(value_of(f->actor, 2), 999);
    segment_check(f->store, 100 + n - 1000 - 1);
}

/* The memory of large users serves small ones, and the index entries of any user. */
static void full_segment_splits_free_blocks(void **state)
{
    struct fixture *f = *state;
    fixture_close(f);
    assert_int_equal(shm_store_unlink(f->name, NULL), SHM_OK);
    f->config.size = 16 << 20;
    f->config.max_users = 100000;
    assert_int_equal(fixture_reopen(f), SHM_OK);
    uint64_t n = 0;
    while (user_insert(f->actor, n, 1000) == SHM_OK)
        n++;
    while (user_insert(f->actor, n, 1) == SHM_OK)
        n++;
    assert_int_equal(user_insert(f->actor, n, 1), SHM_ELIMIT);
    for (uint64_t i = 0; i < 300; i++)
        assert_int_equal(delete_one(f->actor, i), SHM_OK);
    shm_actor_offline(f->actor);
    drain(f->actor);
    assert_nothing_waits(f);
    for (uint64_t i = 0; i < 300; i++) /* some 100 bytes each: there are nodes for 300 */
        assert_int_equal(user_insert(f->actor, n + 1 + i, 52), SHM_OK);
    segment_check(f->store, n);
}

static void online_reader_protects_what_it_may_see(void **state)
{
    struct fixture *f = *state;
    struct shm_actor *reader;
    struct shm_user user;
    uint8_t id[SHM_ID_SIZE], copy[64];
    assert_int_equal(shm_actor_join(&reader, f->store, SHM_ACTOR_WORKER, 1, &f->fault), SHM_OK);
    fill(f->actor, 10);
    user_id(id, 3);
    assert_int_equal(shm_user_find(reader, id, &user), SHM_OK);
    memcpy(copy, user.body, sizeof(copy));
    for (uint64_t i = 1; i < 1000; i++)
        assert_int_equal(update(f->actor, i % 10, i), SHM_OK);
    drain(f->actor);
    assert_memory_equal(user.body, copy, sizeof(copy)); /* freed memory would be poisoned */
    assert_true(shm_control()->retired.count >= 990);
    shm_actor_offline(reader);
    drain(f->actor);
    assert_nothing_waits(f);
    shm_actor_leave(reader);
    segment_check(f->store, 10);
}

static void snapshot_that_holds_too_much_is_revoked(void **state)
{
    struct fixture *f = *state;
    struct shm_actor *reader;
    struct shm_snapshot old, young;
    struct shm_cursor cursor;
    struct shm_user user;
    uint64_t most = 0;
    fixture_close(f);
    f->config.snapshot_max_bytes = 20000;
    assert_int_equal(fixture_reopen(f), SHM_OK);
    fill(f->actor, 500);
    assert_int_equal(shm_actor_join(&reader, f->store, SHM_ACTOR_WORKER, 1, &f->fault), SHM_OK);
    assert_int_equal(shm_snapshot_begin(reader, &old), SHM_OK);
    shm_cursor_first(&cursor, reader, &old);
    assert_int_equal(shm_cursor_next(&cursor, &user), SHM_OK);
    shm_actor_offline(reader); /* from here on it acts like a stopped process */
    for (uint64_t n = 0; n < 500; n++) {
        assert_int_equal(update(f->actor, n, 1), SHM_OK);
        drain(f->actor);
        uint64_t held = shm_control()->held_bytes;
        most = held > most ? held : most;
        if (n == 10)
            assert_int_equal(shm_cursor_next(&cursor, &user), SHM_OK);
        shm_actor_offline(reader);
    }
    assert_true(most > 10000 && most <= 20000 + 2 * 128);
    assert_true(shm_snapshot_revoked(reader, &old));
    assert_int_equal(shm_cursor_next(&cursor, &user), SHM_EREVOKED);
    drain(f->actor); /* the reader is online again and holds nothing */
    assert_int_equal(shm_control()->held_count, 0);
    assert_int_equal(shm_snapshot_begin(reader, &young), SHM_OK);
    assert_false(shm_snapshot_revoked(reader, &young));
    shm_snapshot_end(reader, &old);
    shm_snapshot_end(reader, &young);
    shm_actor_leave(reader);
    drain(f->actor);
    assert_nothing_waits(f);
    segment_check(f->store, 500);
}

static void pin_and_stay(struct fixture *f, int argument)
{
    struct shm_actor *actor;
    struct shm_snapshot snapshot;
    if (shm_actor_join(&actor, f->store, SHM_ACTOR_TOOL, 1, NULL) != SHM_OK ||
        shm_snapshot_begin(actor, &snapshot) != SHM_OK)
        _exit(2);
    if (argument == 0)
        shm_actor_offline(actor);
    raise(SIGSTOP);
}

static void dead_readers_hold_nothing_and_stopped_readers_are_waited_for(void **state)
{
    struct fixture *f = *state;
    for (int online = 0; online < 2; online++) {
        int status;
        uint64_t first = online == 0 ? 0 : 10;
        users_insert(f->actor, first, first + 10, 1);
        pid_t pid = start_child(pin_and_stay, f, online);
        assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
        assert_true(WIFSTOPPED(status));
        for (uint64_t n = first; n < first + 10; n++)
            assert_int_equal(update(f->actor, n, 1), SHM_OK);
        drain(f->actor);
        assert_int_equal(shm_control()->held_count, online == 0 ? 10 : 0);
        assert_int_equal(shm_control()->retired.count, online == 0 ? 0 : 10);
        segment_check(f->store, first + 10);
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        drain(f->actor);
        assert_nothing_waits(f);
        segment_check(f->store, first + 10);
    }
}

/* ---- dead writers ---- */

static const char *kill_point;
static int kill_countdown;

static void kill_at_point(const char *point)
{
    if (strcmp(point, kill_point) == 0 && kill_countdown-- == 0)
        kill(getpid(), SIGKILL);
}

enum { UPDATE, DELETE, RECLAIM };

static void change_and_die(struct fixture *f, int what)
{
    struct shm_actor *actor;
    if (shm_actor_join(&actor, f->store, SHM_ACTOR_WORKER, 1, NULL) != SHM_OK)
        _exit(2);
    shm_test_hook = kill_at_point;
    if (what == RECLAIM)
        shm_maintain(actor);
    else if ((what == UPDATE ? update(actor, 5, 1) : delete_one(actor, 5)) != SHM_OK)
        _exit(3);
}

static const char *const points[] = {"locked",         "before seal",   "sealed",
                                     "half published", "half replayed", "replayed"};
enum { POINTS = sizeof(points) / sizeof(*points) };

static void killed_at(void **state, int what, size_t point, int countdown)
{
    assert_int_equal(fixture_setup(state), 0);
    struct fixture *f = *state;
    fill(f->actor, 40);
    drain(f->actor);
    if (what == RECLAIM)
        for (uint64_t n = 0; n < 40; n++)
            assert_int_equal(n % 2 == 0 ? update(f->actor, n, 7) : delete_one(f->actor, n), SHM_OK);
    kill_point = points[point];
    kill_countdown = countdown;
    int status = in_child(change_and_die, f, what);
    bool dead = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    assert_true(dead || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
    bool committed = !dead || point >= 2;
    if (what == UPDATE)
        assert_int_equal(update(f->actor, 6, 2), SHM_OK); /* takes the dead writer's lock */
    shm_actor_reap(f->store);
    shm_writer_reap(f->store);
    if (what != RECLAIM)
        assert_int_equal(value_of(f->actor, 5), !committed ? 0 : what == UPDATE ? 1 : UINT64_MAX);
    segment_check(f->store, what == RECLAIM ? 20 : what == DELETE && committed ? 39 : 40);
    shm_actor_offline(f->actor);
    drain(f->actor);
    assert_nothing_waits(f);
    segment_check(f->store, what == RECLAIM ? 20 : what == DELETE && committed ? 39 : 40);
    fixture_teardown(state);
}

static void killed_writer_changes_all_or_nothing(void **state)
{
    for (size_t point = 0; point < POINTS; point++) {
        killed_at(state, UPDATE, point, 0);
        if (strcmp(points[point], "half published") != 0)
            killed_at(state, DELETE, point, 0);
    }
}

static void killed_reclaim_loses_nothing(void **state)
{
    for (size_t point = 1; point < POINTS; point++)
        for (int countdown = 0; countdown < 90; countdown += 7)
            killed_at(state, RECLAIM, point, countdown);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        WITH(update_is_visible_at_once_but_not_in_older_snapshots),
        WITH(deleted_user_is_gone_but_visible_in_older_snapshots),
        WITH(deleted_id_can_be_created_again),
        WITH(versions_held_by_many_snapshots_are_freed_in_any_order),
        WITH(paused_cursor_continues_past_deleted_users),
        WITH(page_token_of_a_deleted_user_continues_with_the_next),
        WITH(batch_is_all_or_nothing),
        WITH(bodies_of_different_sizes_replace_each_other),
        WITH(many_updates_of_few_users_take_little_memory),
        WITH(full_segment_still_takes_updates),
        WITH(full_segment_splits_free_blocks),
        WITH(online_reader_protects_what_it_may_see),
        WITH(snapshot_that_holds_too_much_is_revoked),
        WITH(dead_readers_hold_nothing_and_stopped_readers_are_waited_for),
        cmocka_unit_test(killed_writer_changes_all_or_nothing),
        cmocka_unit_test(killed_reclaim_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
