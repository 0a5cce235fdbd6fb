/* SPDX-License-Identifier: MIT */
/* Listings that must pass many nodes of one user, whose key changes again and again while a reader
 * delays reclaim. */
#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/core/test_points.h"
#include "shm/table/cursor.h"
#include "shm/table/tower.h"
#include "tests/shm/support.h"

#include <string.h>

enum { MANY = 5000, STEP = 1024, USERS = 5, RENAMED = 3 };

void (*shm_test_hook)(const char *point);

static unsigned passed; /* nodes passed since the counter was last set to 0 */

static void count_passed(const char *point)
{
    passed += strcmp(point, "passing") == 0;
}

/* The body is the key. */
static uint32_t key_of(unsigned key, const uint8_t *body, uint32_t body_len, uint8_t *out)
{
    (void)key;
    memcpy(out, body, body_len);
    return body_len;
}

static void set_name(struct fixture *f, uint64_t id, uint64_t name)
{
    struct shm_new_user user = {.body = (const uint8_t *)&name, .body_len = sizeof(name)};
    user_id(user.id, id);
    assert_int_equal(shm_users_update(f->actor, &user, 1, NULL), SHM_OK);
    shm_actor_offline(f->actor);
}

static void create(struct fixture *f, uint64_t id)
{
    struct shm_new_user user = {.body = (const uint8_t *)&id, .body_len = sizeof(id)};
    user_id(user.id, id);
    assert_int_equal(shm_users_insert(f->actor, &user, 1, NULL), SHM_OK);
    shm_actor_offline(f->actor);
}

static void delete (struct fixture *f, uint64_t id)
{
    uint8_t bytes[SHM_ID_SIZE];
    user_id(bytes, id);
    assert_int_equal(shm_user_delete(f->actor, bytes, 0, NULL), SHM_OK);
    shm_actor_offline(f->actor);
}

static uint64_t name_of(const struct shm_user *user)
{
    uint64_t name;
    memcpy(&name, user->body, sizeof(name));
    return name;
}

static struct shm_actor *reader; /* begins the snapshots; while it is online nothing is freed */

static void rename_many(struct fixture *f)
{
    shm_actor_online(reader);
    for (uint64_t i = 0; i < MANY; i++)
        set_name(f, RENAMED, 1000 + i);
}

static void drain(struct fixture *f)
{
    const struct shm_control *control = shm_control();
    for (int i = 0; i < 1000 && control->retired.count + control->unlinked.count != 0; i++) {
        shm_maintain(f->actor);
        shm_actor_offline(f->actor);
    }
    assert_int_equal(control->retired.count + control->unlinked.count, 0);
}

/* A table with these users. The table's random key decides which users have a tower. */
static void new_table(struct fixture *f)
{
    fixture_close(f);
    assert_int_equal(shm_store_unlink(f->name, NULL), SHM_OK);
    assert_int_equal(fixture_reopen(f), SHM_OK);
    for (uint64_t id = 1; id <= USERS; id++)
        create(f, id);
}

/* No user has a tower: from it a listing would go on behind the nodes that the tests count. */
static int setup(void **state)
{
    if (fixture_setup(state) != 0)
        return -1;
    struct fixture *f = *state;
    f->config.unique = 1;
    f->config.key_of = key_of;
    do
        new_table(f);
    while (shm_tower_find(USERS) != NULL);
    assert_int_equal(shm_actor_join(&reader, f->store, SHM_ACTOR_WORKER, 1, &f->fault), SHM_OK);
    shm_cursor_pass_max = STEP;
    shm_test_hook = count_passed;
    return 0;
}

static int teardown(void **state)
{
    shm_test_hook = NULL;
    shm_actor_leave(reader);
    return fixture_teardown(state);
}

/* Steps to the next user. @return the number of calls that found no user yet */
static unsigned next(struct shm_cursor *cursor, uint64_t id, uint64_t name)
{
    struct shm_user user;
    for (unsigned calls = 0;; calls++) {
        passed = 0;
        int rc = shm_cursor_next(cursor, &user);
        assert_true(passed <= shm_cursor_pass_max);
        if (rc == SHM_EMORE)
            continue;
        assert_int_equal(rc, id != 0 ? SHM_OK : SHM_ENOENT);
        if (id != 0) {
            assert_int_equal(user.seq, id);
            assert_int_equal(name_of(&user), name);
        }
        return calls;
    }
}

static void newer_nodes_of_a_user_are_passed_in_several_calls(void **state)
{
    struct fixture *f = *state;
    struct shm_snapshot old;
    struct shm_cursor cursor;
    assert_int_equal(shm_snapshot_begin(reader, &old), SHM_OK);
    rename_many(f);
    shm_cursor_first(&cursor, reader, &old);
    for (uint64_t id = 1; id <= USERS; id++)
        assert_int_equal(next(&cursor, id, id), id == RENAMED ? MANY / STEP : 0);
    assert_int_equal(next(&cursor, 0, 0), 0);
    shm_snapshot_end(reader, &old);
}

static void older_nodes_of_a_user_are_passed_in_several_calls(void **state)
{
    struct fixture *f = *state;
    struct shm_snapshot now;
    struct shm_cursor cursor;
    rename_many(f);
    assert_int_equal(shm_snapshot_begin(reader, &now), SHM_OK);
    shm_cursor_first(&cursor, reader, &now);
    for (uint64_t id = 1; id <= USERS; id++)
        assert_int_equal(next(&cursor, id, id == RENAMED ? 1000 + MANY - 1 : id),
                         id == RENAMED + 1 ? MANY / STEP : 0);
    assert_int_equal(next(&cursor, 0, 0), 0);
    shm_snapshot_end(reader, &now);
}

/* The token's user is gone: the index by sequence leads to a place before the renamed one. */
static void nodes_before_a_page_tokens_user_are_passed_in_several_calls(void **state)
{
    struct fixture *f = *state;
    struct shm_snapshot now;
    struct shm_cursor cursor;
    uint8_t id[SHM_ID_SIZE];
    rename_many(f);
    delete (f, RENAMED + 1);
    assert_int_equal(shm_snapshot_begin(reader, &now), SHM_OK);
    user_id(id, RENAMED + 1);
    assert_int_equal(shm_cursor_after(&cursor, reader, &now, RENAMED + 1, id), SHM_OK);
    assert_int_equal(next(&cursor, RENAMED + 2, RENAMED + 2), MANY / STEP);
    shm_snapshot_end(reader, &now);
}

/* The node that a call has reached is freed, and its memory is another user's. */
static void reached_node_freed_between_two_calls_is_not_followed(void **state)
{
    struct fixture *f = *state;
    struct shm_snapshot old;
    struct shm_cursor cursor;
    struct shm_user user;
    assert_int_equal(shm_snapshot_begin(reader, &old), SHM_OK);
    rename_many(f);
    shm_cursor_first(&cursor, reader, &old);
    for (uint64_t id = 1; id < RENAMED; id++)
        next(&cursor, id, id);
    for (int i = 0; i < 2; i++)
        assert_int_equal(shm_cursor_next(&cursor, &user), SHM_EMORE);
    shm_actor_offline(reader);
    drain(f);
    for (uint64_t id = 100; id < 800; id++)
        create(f, id); /* in the freed memory */
    for (uint64_t id = RENAMED; id <= USERS; id++)
        assert_int_equal(next(&cursor, id, id), 0);
    assert_int_equal(next(&cursor, 0, 0), 0);
    shm_snapshot_end(reader, &old);
    shm_actor_offline(reader);
    drain(f);
    segment_check(f->store, USERS + 700);
}

/* Each call is followed by a pause in which the user gets other names, and some nodes are freed. */
static void listing_goes_on_while_its_user_is_renamed(void **state)
{
    struct fixture *f = *state;
    struct shm_snapshot old;
    struct shm_cursor cursor;
    struct shm_user user;
    unsigned calls = 0;
    assert_int_equal(shm_snapshot_begin(reader, &old), SHM_OK);
    rename_many(f);
    shm_cursor_first(&cursor, reader, &old);
    for (uint64_t id = 1; id < RENAMED; id++)
        next(&cursor, id, id);
    uint64_t name = 100000;
    while (shm_cursor_next(&cursor, &user) == SHM_EMORE) {
        assert_true(++calls < 100);
        shm_actor_offline(reader);
        for (int i = 0; i < 500; i++)
            set_name(f, RENAMED, name++);
        shm_maintain(f->actor);
        shm_actor_offline(f->actor);
    }
    assert_int_equal(name_of(&user), RENAMED);
    next(&cursor, RENAMED + 1, RENAMED + 1);
    shm_snapshot_end(reader, &old);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(newer_nodes_of_a_user_are_passed_in_several_calls),
        test(older_nodes_of_a_user_are_passed_in_several_calls),
        test(nodes_before_a_page_tokens_user_are_passed_in_several_calls),
        test(reached_node_freed_between_two_calls_is_not_followed),
        test(listing_goes_on_while_its_user_is_renamed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
