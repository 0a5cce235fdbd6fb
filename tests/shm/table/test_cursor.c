/* SPDX-License-Identifier: MIT */
/* Listings that must pass deleted users, which an older snapshot keeps in the lists. */
#include "shm/careful.h"
#include "shm/core/actor_handle.h"
#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/core/test_points.h"
#include "shm/slots/slot.h"
#include "shm/table/cursor.h"
#include "tests/shm/support.h"

#include <stdlib.h>
#include <string.h>

enum { MANY = 5000, STEP = 1024, LAST = 20 };

void (*shm_test_hook)(const char *point);

static unsigned passed; /* users passed since the counter was last set to 0 */

static void count_passed(const char *point)
{
    passed += strcmp(point, "passing") == 0;
}

static int setup(void **state)
{
    if (fixture_setup(state) != 0)
        return -1;
    struct fixture *f = *state;
    fixture_close(f);
    f->config.max_users = 100000;
    shm_cursor_pass_max = STEP;
    shm_test_hook = count_passed;
    return fixture_reopen(f) == SHM_OK ? 0 : -1;
}

static int teardown(void **state)
{
    shm_test_hook = NULL;
    return fixture_teardown(state);
}

/* Checks the default, before another test changes it. */
static void call_passes_1024_users(void **state)
{
    (void)state;
    assert_int_equal(shm_cursor_pass_max, STEP);
}

/* Deletes users [from, to). */
static void delete_range(struct shm_actor *actor, uint64_t from, uint64_t to)
{
    uint8_t ids[SHM_BATCH_MAX][SHM_ID_SIZE];
    while (from < to) {
        size_t count = to - from < SHM_BATCH_MAX ? (size_t)(to - from) : SHM_BATCH_MAX;
        for (size_t i = 0; i < count; i++)
            user_id(ids[i], from + i);
        assert_int_equal(shm_users_delete(actor, (const uint8_t(*)[SHM_ID_SIZE])ids, count, NULL),
                         SHM_OK);
        from += count;
    }
    shm_actor_offline(actor);
}

static void drain(struct shm_actor *actor)
{
    for (int i = 0; i < 1000 && shm_maintain(actor) < 100; i++)
        ;
}

/* Steps to the next user, and counts the users that each call passes. @return the number of
 * calls that found no user yet */
static unsigned next(struct shm_cursor *cursor, int expected, struct shm_user *user)
{
    for (unsigned calls = 0;; calls++) {
        passed = 0;
        int rc = shm_cursor_next(cursor, user);
        if (rc != SHM_EMORE) {
            assert_int_equal(rc, expected);
            assert_true(passed < shm_cursor_pass_max);
            return calls;
        }
        assert_int_equal(passed, shm_cursor_pass_max);
        shm_actor_offline(cursor->actor);
    }
}

/* ---- how many users one call passes ---- */

/* Creates 10 users, MANY users that are then deleted, and LAST users; the snapshot shows all of
 * them. */
static void make_hole(struct fixture *f, struct shm_actor **reader, struct shm_snapshot *old)
{
    users_insert(f->actor, 0, 10 + MANY + LAST, SHM_BATCH_MAX);
    shm_actor_offline(f->actor);
    assert_int_equal(shm_actor_join(reader, f->store, SHM_ACTOR_WORKER, 1, &f->fault), SHM_OK);
    assert_int_equal(shm_snapshot_begin(*reader, old), SHM_OK);
    shm_actor_offline(*reader);
    delete_range(f->actor, 10, 10 + MANY);
    drain(f->actor);
}

static void step_past_deleted_users_takes_several_calls(void **state)
{
    struct fixture *f = *state;
    struct shm_actor *reader;
    struct shm_snapshot old, snapshot;
    struct shm_cursor cursor;
    struct shm_user user;
    make_hole(f, &reader, &old);
    assert_int_equal(shm_snapshot_begin(f->actor, &snapshot), SHM_OK);
    shm_cursor_first(&cursor, f->actor, &snapshot);
    for (uint64_t seq = 1; seq <= 10 + LAST; seq++) {
        assert_int_equal(next(&cursor, SHM_OK, &user), seq == 11 ? MANY / STEP : 0);
        assert_int_equal(user.seq, seq <= 10 ? seq : seq + MANY);
    }
    assert_int_equal(next(&cursor, SHM_ENOENT, &user), 0);
    shm_snapshot_end(f->actor, &snapshot);
    shm_snapshot_end(reader, &old);
    shm_actor_leave(reader);
}

static void first_page_after_deleted_users_takes_several_calls(void **state)
{
    struct fixture *f = *state;
    struct shm_actor *reader;
    struct shm_snapshot old, snapshot;
    struct shm_cursor cursor;
    struct shm_user user;
    make_hole(f, &reader, &old);
    delete_range(f->actor, 0, 10);
    assert_int_equal(shm_snapshot_begin(f->actor, &snapshot), SHM_OK);
    passed = 0;
    shm_cursor_first(&cursor, f->actor, &snapshot);
    assert_int_equal(passed, 0);
    assert_int_equal(next(&cursor, SHM_OK, &user), (10 + MANY) / STEP);
    assert_int_equal(user.seq, 11 + MANY);
    shm_snapshot_end(f->actor, &snapshot);
    shm_snapshot_end(reader, &old);
    shm_actor_leave(reader);
}

static void page_token_of_a_deleted_user_takes_several_calls(void **state)
{
    struct fixture *f = *state;
    struct shm_actor *reader;
    struct shm_snapshot old, snapshot;
    struct shm_cursor cursor;
    struct shm_user user;
    uint8_t id[SHM_ID_SIZE];
    make_hole(f, &reader, &old);
    assert_int_equal(shm_snapshot_begin(f->actor, &snapshot), SHM_OK);
    user_id(id, 500);
    passed = 0;
    assert_int_equal(shm_cursor_after(&cursor, f->actor, &snapshot, 501, id), SHM_OK);
    assert_int_equal(passed, 0);
    assert_int_equal(next(&cursor, SHM_OK, &user), (10 + MANY - 501) / STEP);
    assert_int_equal(user.seq, 11 + MANY);
    shm_snapshot_end(f->actor, &snapshot);
    shm_snapshot_end(reader, &old);
    shm_actor_leave(reader);
}

static void end_right_after_deleted_users_is_found(void **state)
{
    struct fixture *f = *state;
    struct shm_actor *reader;
    struct shm_snapshot old, snapshot;
    struct shm_cursor cursor;
    struct shm_user user;
    make_hole(f, &reader, &old);
    delete_range(f->actor, 10 + MANY, 10 + MANY + LAST);
    assert_int_equal(shm_snapshot_begin(f->actor, &snapshot), SHM_OK);
    shm_actor_offline(f->actor);
    users_insert(f->actor, 50000, 50100, 10); /* later users are not in the snapshot */
    shm_cursor_first(&cursor, f->actor, &snapshot);
    for (uint64_t seq = 1; seq <= 10; seq++) {
        assert_int_equal(shm_cursor_settle(&cursor), SHM_OK);
        assert_int_equal(shm_cursor_settle(&cursor), SHM_OK); /* settling is no step */
        assert_int_equal(next(&cursor, SHM_OK, &user), 0);
        assert_int_equal(user.seq, seq);
    }
    for (unsigned calls = 0; calls < (MANY + LAST) / STEP; calls++)
        assert_int_equal(shm_cursor_settle(&cursor), SHM_EMORE);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(shm_cursor_settle(&cursor), SHM_ENOENT);
        assert_int_equal(next(&cursor, SHM_ENOENT, &user), 0);
    }
    shm_snapshot_end(f->actor, &snapshot);
    shm_snapshot_end(reader, &old);
    shm_actor_leave(reader);
}

/* ---- changes between two calls ---- */

static void position_freed_between_two_calls_is_found_again(void **state)
{
    struct fixture *f = *state;
    struct shm_actor *reader;
    struct shm_snapshot old, snapshot;
    struct shm_cursor cursor;
    struct shm_user user;
    make_hole(f, &reader, &old);
    uint64_t used = shm_control()->alloc[SHM_ALLOC_BYTES_USED];
    assert_int_equal(shm_snapshot_begin(f->actor, &snapshot), SHM_OK);
    shm_cursor_first(&cursor, f->actor, &snapshot);
    for (uint64_t seq = 1; seq <= 10; seq++)
        assert_int_equal(next(&cursor, SHM_OK, &user), 0);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(shm_cursor_next(&cursor, &user), SHM_EMORE);
    shm_actor_offline(f->actor);
    shm_snapshot_end(reader, &old);
    drain(f->actor);
    assert_true(shm_control()->alloc[SHM_ALLOC_BYTES_USED] < used - MANY * sizeof(struct shm_node));
    users_insert(f->actor, 50000, 50000 + MANY, SHM_BATCH_MAX); /* reuses the freed memory */
    shm_actor_offline(f->actor);
    for (uint64_t seq = 11 + MANY; seq <= 10 + MANY + LAST; seq++) {
        assert_int_equal(next(&cursor, SHM_OK, &user), 0);
        assert_int_equal(user.seq, seq);
    }
    assert_int_equal(next(&cursor, SHM_ENOENT, &user), 0);
    shm_snapshot_end(f->actor, &snapshot);
    shm_actor_leave(reader);
    drain(f->actor);
    segment_check(f->store, 10 + LAST + MANY);
}

static void listing_revoked_between_two_calls_is_reported(void **state)
{
    struct fixture *f = *state;
    struct shm_actor *reader, *lister;
    struct shm_snapshot old, snapshot;
    struct shm_cursor cursor;
    struct shm_user user;
    make_hole(f, &reader, &old);
    assert_int_equal(shm_actor_join(&lister, f->store, SHM_ACTOR_WORKER, 2, &f->fault), SHM_OK);
    assert_int_equal(shm_snapshot_begin(lister, &snapshot), SHM_OK);
    shm_cursor_first(&cursor, lister, &snapshot);
    for (uint64_t seq = 1; seq <= 10; seq++)
        assert_int_equal(next(&cursor, SHM_OK, &user), 0);
    assert_int_equal(shm_cursor_next(&cursor, &user), SHM_EMORE);
    shm_actor_offline(lister);
    shm_control()->held_max = 1; /* as an owner with a lower limit would say */
    delete_range(f->actor, 0, 10);
    for (unsigned i = 0; i < 100 && !shm_snapshot_revoked(lister, &snapshot); i++)
        drain(f->actor);
    assert_true(shm_snapshot_revoked(lister, &snapshot));
    assert_int_equal(shm_cursor_next(&cursor, &user), SHM_EREVOKED);
    assert_int_equal(shm_cursor_settle(&cursor), SHM_EREVOKED);
    shm_snapshot_end(lister, &snapshot);
    shm_snapshot_end(reader, &old);
    shm_actor_leave(lister);
    shm_actor_leave(reader);
}

/* ---- a tool's listing ---- */

static struct {
    struct fixture *f;
    struct shm_actor *holder; /* holds the older snapshot */
    struct shm_snapshot *old;
    struct shm_reader *reader;
    unsigned rests;
} tool;

/* Returns the slot of the only tool. */
static const struct shm_slot *tool_slot(void)
{
    unsigned i = 0;
    while (i < shm_slots_ready() &&
           (shm_slot(i)->state == 0 || shm_slot(i)->kind != SHM_ACTOR_TOOL))
        i++;
    assert_true(i < shm_slots_ready());
    return shm_slot(i);
}

/* While the tool rests it holds nothing: everything that it passed is freed, and reused. */
static void free_at_rest(const char *point)
{
    struct shm_info info;
    if (strcmp(point, "tool rests") != 0 || tool.rests++ != 0)
        return;
    assert_int_equal(tool_slot()->ctr, 0);
    shm_snapshot_end(tool.holder, tool.old);
    drain(tool.f->actor);
    shm_store_info(tool.f->store, &info);
    assert_int_equal(info.retired_count + info.held_count, 0);
    users_insert(tool.f->actor, 50000, 50000 + MANY, SHM_BATCH_MAX);
    shm_actor_offline(tool.f->actor);
}

static void tool_rests_while_it_passes_deleted_users(void **state)
{
    static struct shm_record record;
    struct fixture *f = *state;
    struct shm_actor *holder;
    struct shm_snapshot old;
    struct shm_reader *reader;
    make_hole(f, &holder, &old);
    assert_int_equal(shm_reader_open(&reader, f->store, &f->fault), SHM_OK);
    tool.f = f;
    tool.holder = holder;
    tool.old = &old;
    tool.reader = reader;
    tool.rests = 0;
    shm_test_hook = free_at_rest;
    assert_int_equal(shm_reader_begin(reader, 0, &f->fault), SHM_OK);
    for (uint64_t seq = 1; seq <= 10 + LAST; seq++) {
        assert_int_equal(shm_reader_next(reader, &record, &f->fault), SHM_OK);
        assert_int_equal(record.seq, seq <= 10 ? seq : seq + MANY);
    }
    assert_int_equal(tool.rests, 1);
    assert_int_equal(shm_reader_next(reader, &record, &f->fault), SHM_ENOENT);
    shm_reader_close(reader);
    shm_actor_leave(holder);
    drain(f->actor);
    segment_check(f->store, 10 + LAST + MANY);
}

/* ---- comparison with a plain walk over random deletions ---- */

enum { USERS = 1500, SNAPSHOTS = 12 };

/* Lists the users that the version shows, one by one. @return how many */
static size_t walk_plainly(uint64_t version, uint64_t seqs[USERS])
{
    size_t count = 0;
    const struct cds_list_head *end = &shm_control()->order;
    for (const struct cds_list_head *at = end->next; at != end; at = at->next) {
        const struct shm_node *node = caa_container_of(at, struct shm_node, order);
        if (node->born <= version && version < node->died)
            seqs[count++] = node->seq;
    }
    return count;
}

static void compare(struct shm_actor *actor, const struct shm_snapshot *snapshot,
                    struct shm_cursor *cursor, uint64_t after)
{
    static uint64_t seqs[USERS];
    struct shm_user user;
    size_t count = walk_plainly(snapshot->version, seqs), i = 0;
    while (i < count && seqs[i] <= after)
        i++;
    for (; i < count; i++) {
        next(cursor, SHM_OK, &user);
        assert_int_equal(user.seq, seqs[i]);
    }
    next(cursor, SHM_ENOENT, &user);
    shm_actor_offline(actor);
}

static void pages_equal_those_of_a_plain_walk(void **state)
{
    struct fixture *f = *state;
    struct shm_actor *reader;
    struct shm_snapshot old[SNAPSHOTS], snapshot;
    struct shm_cursor cursor;
    srand(1);
    users_insert(f->actor, 0, USERS, 50);
    assert_int_equal(shm_actor_join(&reader, f->store, SHM_ACTOR_WORKER, 1, &f->fault), SHM_OK);
    bool there[USERS];
    memset(there, true, sizeof(there));
    for (unsigned i = 0; i < SNAPSHOTS; i++) {
        assert_int_equal(shm_snapshot_begin(reader, &old[i]), SHM_OK);
        shm_actor_offline(reader);
        for (unsigned run = 0; run < 6; run++)
            for (uint64_t n = (uint64_t)rand() % USERS, left = 40; left > 0 && n < USERS;
                 left--, n++)
                if (there[n]) {
                    delete_range(f->actor, n, n + 1);
                    there[n] = false;
                }
        drain(f->actor);
    }
    assert_int_equal(shm_snapshot_begin(f->actor, &snapshot), SHM_OK);
    for (unsigned i = 0; i < SNAPSHOTS; i += 3) {
        shm_cursor_pass_max = 1 + i;
        shm_cursor_first(&cursor, reader, &old[i]);
        compare(reader, &old[i], &cursor, 0);
    }
    for (uint64_t seq = 1; seq <= USERS; seq += 7) {
        uint8_t id[SHM_ID_SIZE];
        user_id(id, seq - 1);
        shm_cursor_pass_max = 1 + (unsigned)seq % 20;
        assert_int_equal(shm_cursor_after(&cursor, f->actor, &snapshot, seq, id), SHM_OK);
        compare(f->actor, &snapshot, &cursor, seq);
    }
    for (unsigned i = 0; i < SNAPSHOTS; i++)
        shm_snapshot_end(reader, &old[i]);
    shm_snapshot_end(f->actor, &snapshot);
    shm_actor_leave(reader);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(call_passes_1024_users),
        test(step_past_deleted_users_takes_several_calls),
        test(first_page_after_deleted_users_takes_several_calls),
        test(page_token_of_a_deleted_user_takes_several_calls),
        test(end_right_after_deleted_users_is_found),
        test(position_freed_between_two_calls_is_found_again),
        test(listing_revoked_between_two_calls_is_reported),
        test(tool_rests_while_it_passes_deleted_users),
        test(pages_equal_those_of_a_plain_walk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
