/* SPDX-License-Identifier: MIT */
/* Insert, lookup, snapshots and listings in one process. */
#include "tests/shm/support.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shm/core/actor_handle.h"
#include "shm/core/alloc.h"
#include "shm/core/layout.h"
#include "shm/core/mapping.h"

static void inserted_user_is_found(void **state)
{
    struct fixture *f = *state;
    uint8_t unknown[SHM_ID_SIZE];
    struct shm_user user;
    users_insert(f->actor, 0, 300, 1);
    for (uint64_t n = 0; n < 300; n++)
        assert_user(f->actor, n);
    user_id(unknown, 300);
    assert_int_equal(shm_user_find(f->actor, unknown, &user), SHM_ENOENT);
    segment_check(f->store, 300);
}

static bool same_user(const struct shm_user *a, const struct shm_user *b)
{
    return memcmp(a->id, b->id, SHM_ID_SIZE) == 0 && a->body == b->body &&
           a->body_len == b->body_len && a->hidden_len == b->hidden_len && a->seq == b->seq &&
           a->version == b->version;
}

/* Asks for the users from `first` on, of whom some are there. @return whether the answers are those
 * that each lookup alone gives */
static bool find_together(struct shm_actor *actor, uint64_t first, size_t count)
{
    uint8_t ids[SHM_FIND_MAX][SHM_ID_SIZE];
    struct shm_user users[SHM_FIND_MAX], alone;
    for (size_t i = 0; i < count; i++)
        user_id(ids[i], first + 7 * i);
    if (count > 2)
        user_id(ids[count - 1], first); /* twice in one call */
    shm_users_find(actor, (const uint8_t(*)[SHM_ID_SIZE])ids, count, users);
    for (size_t i = 0; i < count; i++) {
        bool there = shm_user_find(actor, ids[i], &alone) == SHM_OK;
        if (there != (users[i].id != NULL) || (there && !same_user(&users[i], &alone)))
            return false;
    }
    return true;
}

/* In a child: without the hash table's place, which only an owner's processes keep. */
static void find_together_as_a_tool(struct fixture *f, int argument)
{
    struct shm_store *store;
    struct shm_actor *actor;
    (void)argument;
    shm_actor_abandon(f->actor);
    shm_store_close(f->store);
    if (shm_store_attach(&store, f->name, SHM_ATTACH_READ, NULL, NULL) != SHM_OK ||
        shm_actor_join(&actor, store, SHM_ACTOR_TOOL, 0, NULL) != SHM_OK)
        _exit(1);
    _exit(find_together(actor, 0, SHM_FIND_MAX) ? 0 : 1);
}

static void users_found_together_are_those_found_alone(void **state)
{
    struct fixture *f = *state;
    uint8_t ids[100][SHM_ID_SIZE];
    users_insert(f->actor, 0, 300, 5);
    for (unsigned i = 0; i < 100; i++)
        user_id(ids[i], 3 * i);
    assert_int_equal(shm_users_delete(f->actor, (const uint8_t(*)[SHM_ID_SIZE])ids, 100, NULL),
                     SHM_OK);
    assert_int_equal(user_insert(f->actor, 9, 30), SHM_OK); /* again */
    for (size_t count = 0; count <= SHM_FIND_MAX; count++)
        for (uint64_t first = 0; first < 310; first++)
            assert_true(find_together(f->actor, first, count));
    assert_int_equal(in_child(find_together_as_a_tool, f, 0), 0);
}

static void sequence_and_version_grow_by_commit(void **state)
{
    struct fixture *f = *state;
    struct shm_user user;
    uint8_t id[SHM_ID_SIZE];
    users_insert(f->actor, 0, 1, 1);
    users_insert(f->actor, 1, 11, 10);
    user_id(id, 10);
    assert_int_equal(shm_user_find(f->actor, id, &user), SHM_OK);
    assert_int_equal(user.seq, 11);
    assert_int_equal(user.version, 2);
}

static void every_body_length_is_kept(void **state)
{
    struct fixture *f = *state;
    uint64_t n = 0;
    for (uint32_t length = 1; length <= SHM_BODY_MAX; length += 37, n++)
        assert_int_equal(user_insert(f->actor, n, length), SHM_OK);
    assert_int_equal(user_insert(f->actor, n, SHM_BODY_MAX), SHM_OK);
    assert_int_equal(user_insert(f->actor, n + 1, SHM_BODY_MAX + 1), SHM_EINVAL);
    assert_int_equal(user_insert(f->actor, n + 1, 0), SHM_EINVAL);
    segment_check(f->store, n + 1);
}

static void batch_with_a_known_id_inserts_none(void **state)
{
    struct fixture *f = *state;
    struct shm_new_user users[5] = {0};
    struct shm_user user;
    struct shm_conflict conflict = {.which = 99};
    users_insert(f->actor, 0, 1, 1);
    for (size_t i = 0; i < 5; i++) {
        user_id(users[i].id, i == 3 ? 0 : 100 + i);
        users[i].body = (const uint8_t *)"x";
        users[i].body_len = 1;
    }
    assert_int_equal(shm_users_insert(f->actor, users, 5, &conflict), SHM_EEXIST);
    assert_int_equal(conflict.which, 3);
    assert_int_equal(shm_user_find(f->actor, users[0].id, &user), SHM_ENOENT);
    segment_check(f->store, 1);
}

static void batch_with_an_id_twice_fails(struct fixture *f)
{
    struct shm_new_user users[SHM_BATCH_MAX] = {0};
    struct shm_conflict conflict = {.which = 0};
    for (size_t i = 0; i < SHM_BATCH_MAX; i++) {
        user_id(users[i].id, i == 200 ? 707 : 700 + i);
        users[i].body = (const uint8_t *)"x";
        users[i].body_len = 1;
    }
    assert_int_equal(shm_users_insert(f->actor, users, SHM_BATCH_MAX, &conflict), SHM_EEXIST);
    assert_int_equal(conflict.which, 200);
}

static void batch_with_an_id_twice_inserts_none(void **state)
{
    struct fixture *f = *state;
    struct shm_new_user users[1] = {0};
    batch_with_an_id_twice_fails(f);
    assert_int_equal(shm_users_insert(f->actor, users, 0, NULL), SHM_EINVAL);
    assert_int_equal(shm_users_insert(f->actor, users, SHM_BATCH_MAX + 1, NULL), SHM_EINVAL);
    segment_check(f->store, 0);
}

static void full_table_refuses_and_keeps_its_users(void **state)
{
    struct fixture *f = *state;
    users_insert(f->actor, 0, 1000, 250);
    assert_int_equal(user_insert(f->actor, 1000, 8), SHM_EFULL);
    assert_user(f->actor, 999);
    segment_check(f->store, 1000);
}

static void listing_does_not_see_later_users(void **state)
{
    struct fixture *f = *state;
    struct shm_snapshot snapshot;
    struct shm_cursor cursor;
    struct shm_user user;
    users_insert(f->actor, 0, 100, 7);
    assert_int_equal(shm_snapshot_begin(f->actor, &snapshot), SHM_OK);
    shm_cursor_first(&cursor, f->actor, &snapshot);
    for (uint64_t n = 0; n < 100; n++) {
        assert_int_equal(shm_cursor_settle(&cursor), SHM_OK);
        assert_int_equal(shm_cursor_next(&cursor, &user), SHM_OK);
        assert_int_equal(user.seq, n + 1);
        shm_actor_offline(f->actor);
        users_insert(f->actor, 100 + n, 101 + n, 1);
    }
    assert_int_equal(shm_cursor_settle(&cursor), SHM_ENOENT);
    assert_int_equal(shm_cursor_next(&cursor, &user), SHM_ENOENT);
    assert_int_equal(shm_cursor_next(&cursor, &user), SHM_ENOENT);
    shm_snapshot_end(f->actor, &snapshot);
}

static void listing_of_an_empty_table_is_empty(void **state)
{
    struct fixture *f = *state;
    struct shm_snapshot snapshot;
    struct shm_cursor cursor;
    struct shm_user user;
    shm_snapshot_begin(f->actor, &snapshot);
    shm_cursor_first(&cursor, f->actor, &snapshot);
    users_insert(f->actor, 0, 1, 1);
    assert_int_equal(shm_cursor_next(&cursor, &user), SHM_ENOENT);
    shm_snapshot_end(f->actor, &snapshot);
}

static uint64_t seq_after(struct fixture *f, const struct shm_snapshot *snapshot, uint64_t seq,
                          uint64_t n)
{
    struct shm_cursor cursor;
    struct shm_user user;
    uint8_t id[SHM_ID_SIZE];
    user_id(id, n);
    assert_int_equal(shm_cursor_after(&cursor, f->actor, snapshot, seq, id), SHM_OK);
    return next_user(&cursor, &user) == SHM_OK ? user.seq : 0;
}

static void page_continues_after_each_existing_or_deleted_user(void **state)
{
    struct fixture *f = *state;
    struct shm_snapshot snapshot;
    users_insert(f->actor, 0, 900, 256);
    shm_snapshot_begin(f->actor, &snapshot);
    users_insert(f->actor, 900, 950, 50);
    for (uint64_t seq = 1; seq < 900; seq++) {
        assert_int_equal(seq_after(f, &snapshot, seq, seq - 1), seq + 1);
        /* A deleted id: the index by sequence must find the position. */
        assert_int_equal(seq_after(f, &snapshot, seq, 5000), seq + 1);
    }
    assert_int_equal(seq_after(f, &snapshot, 900, 899), 0);
    assert_int_equal(seq_after(f, &snapshot, 930, 929), 0);
    shm_snapshot_end(f->actor, &snapshot);
}

static void page_after_an_unassigned_number_is_refused(void **state)
{
    struct fixture *f = *state;
    struct shm_snapshot snapshot;
    struct shm_cursor cursor;
    uint8_t id[SHM_ID_SIZE] = {0};
    users_insert(f->actor, 0, 3, 1);
    shm_snapshot_begin(f->actor, &snapshot);
    assert_int_equal(shm_cursor_after(&cursor, f->actor, &snapshot, 0, id), SHM_EINVAL);
    assert_int_equal(shm_cursor_after(&cursor, f->actor, &snapshot, 4, id), SHM_EINVAL);
    assert_int_equal(shm_cursor_after(&cursor, f->actor, &snapshot, UINT64_MAX, id), SHM_EINVAL);
    shm_snapshot_end(f->actor, &snapshot);
}

static void snapshots_of_one_version_share_a_pin(void **state)
{
    struct fixture *f = *state;
    static struct shm_snapshot snapshots[1000];
    for (size_t i = 0; i < 1000; i++)
        assert_int_equal(shm_snapshot_begin(f->actor, &snapshots[i]), SHM_OK);
    for (size_t i = 0; i < 1000; i++) {
        assert_int_equal(snapshots[i].pin, snapshots[0].pin);
        shm_snapshot_end(f->actor, &snapshots[i]);
    }
    assert_int_equal(f->actor->slot->pins[snapshots[0].pin].count, 0);
}

static void pins_run_out_and_become_free_again(void **state)
{
    struct fixture *f = *state;
    struct shm_snapshot snapshots[SHM_PINS + 1];
    for (int round = 0; round < 2; round++) {
        uint64_t from = (uint64_t)round * 200;
        for (size_t i = 0; i < SHM_PINS; i++) {
            users_insert(f->actor, from + i, from + i + 1, 1);
            assert_int_equal(shm_snapshot_begin(f->actor, &snapshots[i]), SHM_OK);
        }
        users_insert(f->actor, from + SHM_PINS, from + SHM_PINS + 1, 1);
        assert_int_equal(shm_snapshot_begin(f->actor, &snapshots[SHM_PINS]), SHM_EPINS);
        shm_snapshot_end(f->actor, &snapshots[5]);
        assert_int_equal(shm_snapshot_begin(f->actor, &snapshots[5]), SHM_OK);
        for (size_t i = 0; i < SHM_PINS; i++)
            shm_snapshot_end(f->actor, &snapshots[i]);
    }
}

/* Returns memory to the free lists, as a reclaim does. */
static void free_some(size_t nodes, size_t blocks)
{
    uint64_t *alloc = shm_control()->alloc;
    unsigned class = shm_class_of(sizeof(struct shm_body) + 64);
    for (size_t i = 0; i < nodes; i++) {
        struct shm_node *node = (void *)(uintptr_t)alloc[SHM_ALLOC_CUR];
        memset(node, 0xa5, sizeof(*node));
        node->died = alloc[SHM_ALLOC_NODE_FREE];
        alloc[SHM_ALLOC_NODE_FREE] = (uintptr_t)node;
        alloc[SHM_ALLOC_CUR] += sizeof(*node);
    }
    for (size_t i = 0; i < blocks; i++) {
        struct shm_body *body = (void *)(uintptr_t)alloc[SHM_ALLOC_CUR];
        memset(body, 0xa5, shm_class_size(class));
        body->link = (void *)(uintptr_t)alloc[class];
        alloc[class] = (uintptr_t)body;
        alloc[SHM_ALLOC_CUR] += shm_class_size(class);
    }
}

static void freed_memory_is_reused(void **state)
{
    struct fixture *f = *state;
    struct shm_verify_report report;
    users_insert(f->actor, 0, 10, 10);
    free_some(100, 80);
    segment_check(f->store, 10);
    batch_with_an_id_twice_fails(f);
    segment_check(f->store, 10);
    users_insert(f->actor, 10, 160, 50);
    shm_store_verify(f->store, &report, NULL, NULL);
    assert_int_equal(report.free_blocks, 0);
    for (uint64_t n = 0; n < 160; n++)
        assert_user(f->actor, n);
    segment_check(f->store, 160);
}

static void feed_has_every_user_in_order(void **state)
{
    struct fixture *f = *state;
    uint8_t id[SHM_ID_SIZE];
    users_insert(f->actor, 0, 30, 10);
    assert_int_equal(shm_control()->feed_head, 30);
    for (uint64_t n = 0; n < 30; n++) {
        user_id(id, n);
        assert_int_equal(shm_feed()[n].version, n / 10 + 1);
        assert_int_equal(shm_feed()[n].what & 0xff, SHM_CREATED);
        assert_memory_equal(shm_feed()[n].id, id, SHM_ID_SIZE);
    }
}

static void a_small_user_costs_at_most_256_bytes(void **state)
{
    struct fixture *f = *state;
    struct shm_info before, after;
    fixture_close(f);
    f->config.max_users = 10000;
    assert_int_equal(shm_store_unlink(f->name, NULL), SHM_OK);
    assert_int_equal(fixture_reopen(f), SHM_OK);
    /* 52 bytes: a name of 12, an e-mail of 24, created_at and the role "user", in wire format. */
    shm_store_info(f->store, &before);
    for (uint64_t n = 0; n < 10000; n++)
        assert_int_equal(user_insert(f->actor, n, 52), SHM_OK);
    shm_store_info(f->store, &after);
    /* bytes_used includes 16,384 buckets for these 10,000 users from the start. */
    assert_true(after.bytes_used <= 256 * 10000);
    assert_true(before.bytes_used == 8 * 16384);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        WITH(inserted_user_is_found),
        WITH(users_found_together_are_those_found_alone),
        WITH(sequence_and_version_grow_by_commit),
        WITH(every_body_length_is_kept),
        WITH(batch_with_a_known_id_inserts_none),
        WITH(batch_with_an_id_twice_inserts_none),
        WITH(full_table_refuses_and_keeps_its_users),
        WITH(listing_does_not_see_later_users),
        WITH(listing_of_an_empty_table_is_empty),
        WITH(page_continues_after_each_existing_or_deleted_user),
        WITH(page_after_an_unassigned_number_is_refused),
        WITH(snapshots_of_one_version_share_a_pin),
        WITH(pins_run_out_and_become_free_again),
        WITH(freed_memory_is_reused),
        WITH(feed_has_every_user_in_order),
        WITH(a_small_user_costs_at_most_256_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
