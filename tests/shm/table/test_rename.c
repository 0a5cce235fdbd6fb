/* SPDX-License-Identifier: MIT */
/* Updates that change unique keys; updates and deletes of one version only; the second part of a
 * body. Uses the library with kill points and with checks of its list calls. */
#include "tests/shm/support.h"

#include <stdio.h>
#include <string.h>

#include "base/container_of.h"
#include "shm/careful.h"
#include "shm/core/hash.h"
#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/core/store_handle.h"
#include "shm/core/test_points.h"
#include "shm/table/tower.h"

enum { NAME, MAIL, BODY = 64, USERS = 5 };

void (*shm_test_hook)(const char *point);

/* A body is a name and a mail address, each with a final NUL. */
static uint32_t key_of(unsigned key, const uint8_t *body, uint32_t body_len, uint8_t *out)
{
    const uint8_t *at = body, *end = body + body_len;
    if (key == MAIL)
        at += strnlen((const char *)at, body_len - 1) + 1;
    uint32_t len = (uint32_t)strnlen((const char *)at, (size_t)(end - at));
    memcpy(out, at, len);
    return len;
}

static uint32_t make_body(uint8_t body[BODY], const char *name, const char *mail)
{
    return (uint32_t)snprintf((char *)body, BODY, "%s%c%s", name, 0, mail) + 1;
}

static int insert(struct fixture *f, uint64_t id, const char *name, const char *mail)
{
    uint8_t body[BODY];
    struct shm_new_user user = {.body = body, .body_len = make_body(body, name, mail)};
    user_id(user.id, id);
    return shm_users_insert(f->actor, &user, 1, NULL);
}

static int update_if(struct fixture *f, uint64_t id, const char *name, const char *mail,
                     uint64_t version, struct shm_conflict *conflict)
{
    uint8_t body[BODY];
    struct shm_new_user user = {
        .body = body, .body_len = make_body(body, name, mail), .if_version = version};
    user_id(user.id, id);
    return shm_users_update(f->actor, &user, 1, conflict);
}

static int update(struct fixture *f, uint64_t id, const char *name, const char *mail)
{
    return update_if(f, id, name, mail, 0, NULL);
}

static int delete (struct fixture *f, uint64_t id, uint64_t version, struct shm_conflict *conflict)
{
    uint8_t bytes[SHM_ID_SIZE];
    user_id(bytes, id);
    return shm_user_delete(f->actor, bytes, version, conflict);
}

static int find_key(struct fixture *f, unsigned key, const char *value, struct shm_user *user)
{
    return shm_user_find_key(f->actor, key, (const uint8_t *)value, (uint32_t)strlen(value), user);
}

static struct shm_user find(struct fixture *f, uint64_t id)
{
    struct shm_user user;
    uint8_t bytes[SHM_ID_SIZE];
    user_id(bytes, id);
    assert_int_equal(shm_user_find(f->actor, bytes, &user), SHM_OK);
    return user;
}

static void assert_has(struct fixture *f, unsigned key, const char *value, uint64_t id)
{
    struct shm_user user;
    uint8_t bytes[SHM_ID_SIZE];
    user_id(bytes, id);
    assert_int_equal(find_key(f, key, value, &user), SHM_OK);
    assert_memory_equal(user.id, bytes, SHM_ID_SIZE);
}

static void assert_free(struct fixture *f, unsigned key, const char *value)
{
    struct shm_user user;
    assert_int_equal(find_key(f, key, value, &user), SHM_ENOENT);
}

/* The names of a snapshot's users, in the listing's order, each with a space. */
static void list(struct fixture *f, const struct shm_snapshot *snapshot, uint64_t after,
                 char names[512])
{
    struct shm_cursor cursor;
    struct shm_user user;
    uint8_t id[SHM_ID_SIZE];
    int rc;
    shm_cursor_first(&cursor, f->actor, snapshot);
    user_id(id, after);
    if (after != 0)
        assert_int_equal(shm_cursor_after(&cursor, f->actor, snapshot, after, id), SHM_OK);
    names[0] = '\0';
    while ((rc = next_user(&cursor, &user)) == SHM_OK)
        sprintf(names + strlen(names), "%s ", (const char *)user.body);
    assert_int_equal(rc, SHM_ENOENT);
}

static void assert_lists(struct fixture *f, const char *expected)
{
    struct shm_snapshot now;
    char names[512];
    assert_int_equal(shm_snapshot_begin(f->actor, &now), SHM_OK);
    list(f, &now, 0, names);
    assert_string_equal(names, expected);
    shm_snapshot_end(f->actor, &now);
}

static void reclaim_all(struct fixture *f)
{
    const struct shm_control *control = shm_control();
    for (int i = 0; i < 100; i++) {
        shm_actor_offline(f->actor);
        shm_maintain(f->actor);
        if (control->retired.count + control->unlinked.count + control->held_count == 0)
            return;
    }
    fail_msg("retired bodies are not freed");
}

static int setup(void **state)
{
    static const char *const names[USERS] = {"ann", "bob", "cid", "dan", "eve"};
    shm_test_hook = NULL;
    if (fixture_setup(state) != 0)
        return -1;
    struct fixture *f = *state;
    fixture_close(f);
    assert_int_equal(shm_store_unlink(f->name, NULL), SHM_OK);
    f->config.unique = 1 << NAME | 1 << MAIL;
    f->config.key_of = key_of;
    assert_int_equal(fixture_reopen(f), SHM_OK);
    for (uint64_t i = 0; i < USERS; i++) {
        char mail[8];
        snprintf(mail, sizeof(mail), "%s@a", names[i]);
        assert_int_equal(insert(f, i + 1, names[i], mail), SHM_OK);
    }
    return 0;
}

/* ---- keys change ---- */

static void renamed_user_is_found_by_the_new_keys_only(void **state)
{
    struct fixture *f = *state;
    struct shm_user before = find(f, 2);
    uint64_t seq = before.seq, version = before.version;
    assert_int_equal(update(f, 2, "rob", "rob@a"), SHM_OK);
    assert_has(f, NAME, "rob", 2);
    assert_has(f, MAIL, "rob@a", 2);
    assert_free(f, NAME, "bob");
    assert_free(f, MAIL, "bob@a");
    struct shm_user after = find(f, 2);
    assert_int_equal(after.seq, seq);
    assert_true(after.version > version);
    assert_string_equal((const char *)after.body, "rob");
    segment_check(f->store, USERS);
    reclaim_all(f);
    assert_has(f, NAME, "rob", 2);
    assert_free(f, NAME, "bob");
    segment_check(f->store, USERS);
}

static void key_may_appear_change_alone_and_disappear(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(update(f, 2, "bob", ""), SHM_OK);
    assert_free(f, MAIL, "bob@a");
    assert_has(f, NAME, "bob", 2);
    assert_int_equal(update(f, 2, "bob", "b@b"), SHM_OK);
    assert_has(f, MAIL, "b@b", 2);
    assert_int_equal(update(f, 2, "rob", "b@b"), SHM_OK);
    assert_has(f, MAIL, "b@b", 2);
    assert_has(f, NAME, "rob", 2);
    segment_check(f->store, USERS);
}

static void freed_key_can_be_taken_at_once_and_taken_back(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(update(f, 2, "rob", "bob@a"), SHM_OK);
    assert_int_equal(insert(f, 9, "bob", "new@a"), SHM_OK);
    assert_has(f, NAME, "bob", 9);
    assert_has(f, NAME, "rob", 2);
    assert_int_equal(update(f, 9, "roy", "new@a"), SHM_OK);
    assert_int_equal(update(f, 2, "bob", "bob@a"), SHM_OK);
    assert_has(f, NAME, "bob", 2);
    assert_has(f, NAME, "roy", 9);
    assert_free(f, NAME, "rob");
    segment_check(f->store, USERS + 1);
    reclaim_all(f);
    assert_has(f, NAME, "bob", 2);
    segment_check(f->store, USERS + 1);
}

static void taken_key_is_refused_and_changes_nothing(void **state)
{
    struct fixture *f = *state;
    struct shm_conflict conflict;
    uint64_t version = shm_control()->version, mail_owner = find(f, 4).version;
    assert_int_equal(update_if(f, 2, "rob", "dan@a", 0, &conflict), SHM_EKEY);
    assert_int_equal(conflict.key, MAIL);
    assert_int_equal(conflict.version, mail_owner);
    assert_int_equal(shm_control()->version, version);
    assert_has(f, NAME, "bob", 2);
    assert_free(f, NAME, "rob");
    segment_check(f->store, USERS);
}

static void one_of_several_must_keep_its_keys(void **state)
{
    struct fixture *f = *state;
    uint8_t bodies[2][BODY];
    struct shm_new_user users[2] = {{.body = bodies[0]}, {.body = bodies[1]}};
    struct shm_conflict conflict;
    user_id(users[0].id, 1);
    user_id(users[1].id, 2);
    users[0].body_len = make_body(bodies[0], "ann", "ann@a");
    users[1].body_len = make_body(bodies[1], "rob", "bob@a");
    assert_int_equal(shm_users_update(f->actor, users, 2, &conflict), SHM_EINVAL);
    assert_int_equal(conflict.which, 1);
    assert_int_equal(conflict.key, NAME);
    assert_int_equal(conflict.version, find(f, 2).version);
    assert_has(f, NAME, "bob", 2);
}

/* ---- listings ---- */

static void renamed_user_keeps_its_place_in_listings(void **state)
{
    struct fixture *f = *state;
    struct shm_snapshot before;
    char names[512];
    assert_int_equal(shm_snapshot_begin(f->actor, &before), SHM_OK);
    assert_int_equal(update(f, 2, "rob", "rob@a"), SHM_OK);
    assert_int_equal(update(f, 2, "bert", "rob@a"), SHM_OK);
    assert_int_equal(update(f, 5, "eva", "eva@a"), SHM_OK);
    assert_lists(f, "ann bert cid dan eva ");
    list(f, &before, 0, names);
    assert_string_equal(names, "ann bob cid dan eve ");
    list(f, &before, 2, names); /* behind the user with number 2, who has other nodes by now */
    assert_string_equal(names, "cid dan eve ");
    segment_check(f->store, USERS);
    shm_snapshot_end(f->actor, &before);
    reclaim_all(f);
    assert_lists(f, "ann bert cid dan eva ");
    segment_check(f->store, USERS);
}

static void cursor_that_stands_on_a_renamed_user_goes_on(void **state)
{
    struct fixture *f = *state;
    struct shm_snapshot snapshot;
    struct shm_cursor cursor;
    struct shm_user user;
    assert_int_equal(shm_snapshot_begin(f->actor, &snapshot), SHM_OK);
    shm_cursor_first(&cursor, f->actor, &snapshot);
    assert_int_equal(next_user(&cursor, &user), SHM_OK);
    assert_int_equal(next_user(&cursor, &user), SHM_OK);
    assert_string_equal((const char *)user.body, "bob");
    shm_actor_offline(f->actor);
    assert_int_equal(update(f, 2, "rob", "rob@a"), SHM_OK);
    assert_int_equal(update(f, 3, "kid", "kid@a"), SHM_OK);
    for (int i = 0; i < 20; i++) {
        shm_actor_offline(f->actor);
        shm_maintain(f->actor);
    }
    assert_int_equal(next_user(&cursor, &user), SHM_OK);
    assert_string_equal((const char *)user.body, "cid");
    assert_int_equal(next_user(&cursor, &user), SHM_OK);
    assert_string_equal((const char *)user.body, "dan");
    shm_snapshot_end(f->actor, &snapshot);
}

/* A snapshot between two renames keeps the node in the middle. */
static void each_snapshot_sees_the_keys_of_its_time(void **state)
{
    struct fixture *f = *state;
    struct shm_snapshot at[4];
    static const char *const names[] = {"bob", "b1", "b2", "b3"};
    char expected[64], seen[512];
    for (int i = 0; i < 4; i++) {
        assert_int_equal(update(f, 2, names[i], "bob@a"), SHM_OK);
        assert_int_equal(shm_snapshot_begin(f->actor, &at[i]), SHM_OK);
    }
    assert_int_equal(delete (f, 2, 0, NULL), SHM_OK);
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < 4; i++) {
            if (i < round)
                continue;
            snprintf(expected, sizeof(expected), "ann %s cid dan eve ", names[i]);
            list(f, &at[i], 0, seen);
            assert_string_equal(seen, expected);
        }
        segment_check(f->store, USERS - 1);
        shm_snapshot_end(f->actor, &at[round]);
        for (int i = 0; i < 20; i++) {
            shm_actor_offline(f->actor);
            shm_maintain(f->actor);
        }
    }
    reclaim_all(f);
    assert_lists(f, "ann cid dan eve ");
    segment_check(f->store, USERS - 1);
}

/* Users with a tower of the index by sequence, and their neighbours. */
static void tower_follows_the_user(void **state)
{
    struct fixture *f = *state;
    struct shm_snapshot old;
    uint64_t with = 0;
    char name[16], mail[16];
    for (uint64_t id = 100; id < 500; id++) {
        snprintf(name, sizeof(name), "n%d", (int)id);
        snprintf(mail, sizeof(mail), "m%d", (int)id);
        assert_int_equal(insert(f, id, name, mail), SHM_OK);
        if (with == 0 && shm_tower_height(user_node(f->actor, id)->hash) > 0)
            with = id;
    }
    assert_true(with != 0);
    uint64_t seq = find(f, with).seq;
    assert_ptr_equal(shm_tower_of(seq)->node, user_node(f->actor, with));
    struct shm_node *first = user_node(f->actor, with);
    assert_int_equal(shm_snapshot_begin(f->actor, &old), SHM_OK);
    assert_int_equal(update(f, with, "x", "x"), SHM_OK);
    assert_ptr_not_equal(user_node(f->actor, with), first);
    assert_ptr_equal(shm_tower_of(seq)->node, user_node(f->actor, with));
    assert_int_equal(delete (f, with, 0, NULL), SHM_OK);
    for (int i = 0; i < 20; i++) {
        shm_actor_offline(f->actor);
        shm_maintain(f->actor);
    }
    assert_ptr_equal(shm_tower_of(seq)->node, first); /* which the snapshot still needs */
    segment_check(f->store, USERS + 399);
    shm_snapshot_end(f->actor, &old);
    reclaim_all(f);
    assert_null(shm_tower_of(seq));
    segment_check(f->store, USERS + 399);
}

static void tool_reads_renamed_users(void **state)
{
    struct fixture *f = *state;
    struct shm_reader *reader;
    struct shm_record record;
    char names[128] = "";
    assert_int_equal(shm_reader_open(&reader, f->store, NULL), SHM_OK);
    assert_int_equal(shm_reader_begin(reader, 0, NULL), SHM_OK);
    assert_int_equal(update(f, 2, "rob", "rob@a"), SHM_OK);
    assert_int_equal(update(f, 3, "kid", "kid@a"), SHM_OK);
    while (shm_reader_next(reader, &record, NULL) == SHM_OK)
        sprintf(names + strlen(names), "%.9s ", (const char *)record.body);
    assert_string_equal(names, "ann bob cid dan eve ");
    shm_reader_end(reader);
    names[0] = '\0';
    assert_int_equal(shm_reader_begin(reader, 0, NULL), SHM_OK);
    while (shm_reader_next(reader, &record, NULL) == SHM_OK)
        sprintf(names + strlen(names), "%.9s ", (const char *)record.body);
    assert_string_equal(names, "ann rob kid dan eve ");
    assert_int_equal(shm_reader_find_key(reader, NAME, (const uint8_t *)"rob", 3, &record, NULL),
                     SHM_OK);
    assert_int_equal(shm_reader_find_key(reader, NAME, (const uint8_t *)"bob", 3, &record, NULL),
                     SHM_ENOENT);
    shm_reader_close(reader);
}

/* A reader without a slot has no snapshot, but leaves out who was created behind its begin. */
static void unprotected_listing_leaves_out_later_users(void **state)
{
    struct fixture *f = *state;
    struct shm_reader *reader;
    struct shm_record record;
    f->store->locked_out = true;
    assert_int_equal(shm_reader_open(&reader, f->store, NULL), SHM_OK);
    f->store->locked_out = false;
    assert_non_null(shm_reader_unprotected(reader));
    assert_int_equal(shm_reader_begin(reader, 0, NULL), SHM_OK);
    assert_int_equal(insert(f, 9, "new", "new@a"), SHM_OK);
    assert_int_equal(update(f, 9, "newer", "new@a"), SHM_OK);
    assert_int_equal(update(f, 3, "kid", "kid@a"), SHM_OK);
    reclaim_all(f);
    char names[128] = "";
    while (shm_reader_next(reader, &record, NULL) == SHM_OK)
        sprintf(names + strlen(names), "%.9s ", (const char *)record.body);
    assert_string_equal(names, "ann bob kid dan eve ");
    shm_reader_close(reader);
}

static void listing_ends_before_later_users_who_were_renamed(void **state)
{
    struct fixture *f = *state;
    struct shm_snapshot snapshot;
    char names[512];
    assert_int_equal(shm_snapshot_begin(f->actor, &snapshot), SHM_OK);
    for (uint64_t id = 10; id < 20; id++) {
        snprintf(names, sizeof(names), "new%d", (int)id);
        assert_int_equal(insert(f, id, names, ""), SHM_OK);
        snprintf(names, sizeof(names), "newer%d", (int)id);
        assert_int_equal(update(f, id, names, ""), SHM_OK);
    }
    assert_int_equal(snapshot.seq, USERS);
    list(f, &snapshot, 0, names);
    assert_string_equal(names, "ann bob cid dan eve ");
    shm_snapshot_end(f->actor, &snapshot);
}

/* ---- damage ---- */

static void note_line(void *data, const char *line)
{
    snprintf(data, 256, "%s", line);
}

static void assert_damage(struct fixture *f, const char *words)
{
    char line[256] = "";
    struct shm_verify_report report;
    assert_int_equal(shm_store_verify(f->store, &report, note_line, line), SHM_ECORRUPT);
    if (strstr(line, words) == NULL)
        fail_msg("\"%s\" is not in: %s", words, line);
}

static void nodes_of_a_user_in_the_wrong_order_are_found(void **state)
{
    struct fixture *f = *state;
    struct shm_snapshot snapshot;
    assert_int_equal(shm_snapshot_begin(f->actor, &snapshot), SHM_OK);
    assert_int_equal(update(f, 2, "rob", "rob@a"), SHM_OK);
    struct shm_node *newer = user_node(f->actor, 2);
    struct shm_node *older = container_of(newer->order.next, struct shm_node, order);
    assert_ptr_equal(newer->by_id.next, &older->by_id);
    struct cds_hlist_node *rest = older->by_id.next, *head = newer->by_id.prev;
    head->next = &older->by_id; /* a head has only this word */
    older->by_id.prev = head;
    older->by_id.next = &newer->by_id;
    newer->by_id.prev = &older->by_id;
    newer->by_id.next = rest;
    if (rest != NULL)
        rest->prev = &newer->by_id;
    assert_damage(f, "newer node is behind an older one");
    shm_snapshot_end(f->actor, &snapshot);
}

static void nodes_of_a_user_that_overlap_are_found(void **state)
{
    struct fixture *f = *state;
    struct shm_snapshot snapshot;
    assert_int_equal(shm_snapshot_begin(f->actor, &snapshot), SHM_OK);
    assert_int_equal(update(f, 2, "rob", "rob@a"), SHM_OK);
    assert_int_equal(update(f, 3, "kid", "kid@a"), SHM_OK);
    struct shm_node *newer = user_node(f->actor, 2);
    struct shm_node *older = container_of(newer->order.next, struct shm_node, order);
    older->died = older->body->died = newer->born + 1;
    assert_damage(f, "do not follow each other");
    shm_snapshot_end(f->actor, &snapshot);
}

static void chain_that_is_a_circle_ends(void **state)
{
    struct fixture *f = *state;
    struct shm_fault fault = {{0}};
    uint8_t id[SHM_ID_SIZE];
    struct shm_reader *reader;
    struct shm_record record;
    assert_int_equal(update(f, 2, "rob", "rob@a"), SHM_OK);
    struct shm_node *node = user_node(f->actor, 2);
    uint64_t mask = shm_control()->ids.count - 1;
    node->by_id.next = &node->by_id;
    uint64_t other = 100;
    do
        user_id(id, other++);
    while ((shm_hash_id(shm_header(), id) & mask) != (node->hash & mask));
    assert_int_equal(shm_reader_open(&reader, f->store, &fault), SHM_OK);
    assert_int_equal(shm_reader_find(reader, id, &record, &fault), SHM_ECORRUPT);
    assert_non_null(strstr(fault.text, "circle"));
    shm_reader_close(reader);
}

static void feed_has_one_update(void **state)
{
    struct fixture *f = *state;
    struct shm_follower follower;
    struct shm_change change;
    assert_int_equal(shm_feed_follow(f->actor, &follower, shm_control()->version), SHM_OK);
    assert_int_equal(update(f, 2, "rob", "rob@a"), SHM_OK);
    assert_int_equal(shm_feed_next(f->actor, &follower, &change), SHM_OK);
    assert_int_equal(change.kind, SHM_UPDATED);
    assert_int_equal(change.seq, find(f, 2).seq);
    assert_int_equal(change.version, find(f, 2).version);
    assert_int_equal(shm_feed_next(f->actor, &follower, &change), SHM_ENOENT);
}

static void many_renames_leave_no_memory_behind(void **state)
{
    struct fixture *f = *state;
    char name[16];
    struct shm_info before, after;
    shm_store_info(f->store, &before);
    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof(name), "b%03d", i % 7);
        assert_int_equal(update(f, 2, name, "bob@a"), SHM_OK);
        shm_actor_offline(f->actor);
    }
    assert_int_equal(update(f, 2, "bob", "bob@a"), SHM_OK);
    reclaim_all(f);
    shm_store_info(f->store, &after);
    assert_int_equal(after.bytes_used, before.bytes_used);
    assert_int_equal(after.users, USERS);
    segment_check(f->store, USERS);
}

static void next_server_has_the_renamed_users(void **state)
{
    struct fixture *f = *state;
    struct shm_snapshot old;
    assert_int_equal(shm_snapshot_begin(f->actor, &old), SHM_OK);
    assert_int_equal(update(f, 2, "rob", "rob@a"), SHM_OK);
    assert_int_equal(update(f, 2, "bert", "rob@a"), SHM_OK);
    fixture_close(f);
    f->config.max_users = 5000; /* its tables are larger */
    f->config.unique = 1 << MAIL;
    assert_int_equal(fixture_reopen(f), SHM_OK);
    assert_has(f, MAIL, "rob@a", 2);
    segment_check(f->store, USERS);
    assert_int_equal(update(f, 2, "bert", "bert@a"), SHM_OK);
    fixture_close(f);
    f->config.unique = 1 << MAIL | 1 << NAME; /* a new index of names */
    assert_int_equal(fixture_reopen(f), SHM_OK);
    assert_has(f, NAME, "bert", 2);
    assert_has(f, MAIL, "bert@a", 2);
    assert_free(f, NAME, "bob");
    assert_lists(f, "ann bert cid dan eve ");
    segment_check(f->store, USERS);
}

/* ---- only if it is still that version ---- */

static void update_and_delete_of_an_older_version_are_refused(void **state)
{
    struct fixture *f = *state;
    struct shm_conflict conflict;
    uint64_t first = find(f, 2).version;
    assert_int_equal(update_if(f, 2, "bob", "bob@a", first, &conflict), SHM_OK);
    uint64_t second = find(f, 2).version;
    assert_int_equal(conflict.version, second);
    assert_int_equal(update_if(f, 2, "bob", "bob@a", first, &conflict), SHM_ESTALE);
    assert_int_equal(conflict.version, second);
    assert_int_equal(conflict.which, 0);
    assert_int_equal(update_if(f, 2, "rob", "bob@a", first, &conflict), SHM_ESTALE);
    assert_int_equal(delete (f, 2, first, &conflict), SHM_ESTALE);
    assert_int_equal(conflict.version, second);
    assert_int_equal(shm_control()->version, second);
    assert_int_equal(update_if(f, 2, "rob", "bob@a", second, &conflict), SHM_OK);
    assert_int_equal(delete (f, 2, second, &conflict), SHM_ESTALE);
    assert_int_equal(delete (f, 2, find(f, 2).version, &conflict), SHM_OK);
    assert_int_equal(delete (f, 2, 0, &conflict), SHM_ENOENT);
    segment_check(f->store, USERS - 1);
}

static void batch_with_one_older_version_changes_nothing(void **state)
{
    struct fixture *f = *state;
    uint8_t body[2][BODY];
    struct shm_new_user users[2] = {
        {.body = body[0], .body_len = make_body(body[0], "ann", "ann@a")},
        {.body = body[1], .body_len = make_body(body[1], "bob", "bob@a")}};
    struct shm_conflict conflict;
    user_id(users[0].id, 1);
    user_id(users[1].id, 2);
    users[0].if_version = find(f, 1).version;
    users[1].if_version = find(f, 1).version;
    uint64_t version = shm_control()->version;
    assert_int_equal(shm_users_update(f->actor, users, 2, &conflict), SHM_ESTALE);
    assert_int_equal(conflict.which, 1);
    assert_int_equal(conflict.version, find(f, 2).version);
    assert_int_equal(shm_control()->version, version);
}

/* ---- the second part ---- */

static void write_parts(struct fixture *f, uint64_t id, uint32_t len, uint32_t hidden_len,
                        bool adds, int expected)
{
    static uint8_t body[SHM_BODY_MAX + 1], hidden[SHM_BODY_MAX + 1];
    struct shm_new_user user = {
        .body = body, .body_len = len, .hidden = hidden, .hidden_len = hidden_len};
    memset(body, 'h', sizeof(body));
    memset(hidden, (int)id, sizeof(hidden));
    snprintf((char *)body, sizeof(body), "h%d%c", (int)id, 0);
    user_id(user.id, id);
    assert_int_equal(adds ? shm_users_insert(f->actor, &user, 1, NULL)
                          : shm_users_update(f->actor, &user, 1, NULL),
                     expected);
    if (expected != SHM_OK)
        return;
    struct shm_user found = find(f, id);
    assert_int_equal(found.body_len, len);
    assert_int_equal(found.hidden_len, hidden_len);
    assert_memory_equal(found.body, body, len);
    assert_memory_equal(shm_user_hidden(&found), hidden, hidden_len);
}

static int set_up_plainly(void **state)
{
    shm_test_hook = NULL;
    return fixture_setup(state);
}

static void both_parts_are_kept_and_told_apart(void **state)
{
    struct fixture *f = *state;
    struct shm_reader *reader;
    struct shm_record record;
    uint8_t id[SHM_ID_SIZE];
    write_parts(f, 1, 10, 0, true, SHM_OK);
    write_parts(f, 2, 10, 20, true, SHM_OK);
    write_parts(f, 3, 4, SHM_BODY_MAX - 4, true, SHM_OK);
    write_parts(f, 4, SHM_BODY_MAX, 0, true, SHM_OK);
    write_parts(f, 5, 4, SHM_BODY_MAX - 3, true, SHM_EINVAL);
    write_parts(f, 5, SHM_BODY_MAX, 1, true, SHM_EINVAL);
    write_parts(f, 5, 4, UINT32_MAX, true, SHM_EINVAL);
    write_parts(f, 5, 0, 4, true, SHM_EINVAL);
    write_parts(f, 1, 30, 7, false, SHM_OK);
    write_parts(f, 2, 10, 0, false, SHM_OK);
    segment_check(f->store, 4);
    assert_int_equal(shm_reader_open(&reader, f->store, NULL), SHM_OK);
    user_id(id, 1);
    assert_int_equal(shm_reader_find(reader, id, &record, NULL), SHM_OK);
    assert_int_equal(record.body_len, 30);
    assert_int_equal(record.hidden_len, 7);
    for (uint32_t i = 0; i < 7; i++)
        assert_int_equal(shm_record_hidden(&record)[i], 1);
    shm_reader_close(reader);
    reclaim_all(f);
    segment_check(f->store, 4);
}

static void snapshot_lists_the_second_parts_of_its_time(void **state)
{
    struct fixture *f = *state;
    struct shm_snapshot snapshot;
    struct shm_cursor cursor;
    struct shm_user user;
    write_parts(f, 7, 10, 20, true, SHM_OK);
    assert_int_equal(shm_snapshot_begin(f->actor, &snapshot), SHM_OK);
    write_parts(f, 7, 12, 33, false, SHM_OK);
    shm_cursor_first(&cursor, f->actor, &snapshot);
    assert_int_equal(next_user(&cursor, &user), SHM_OK);
    assert_int_equal(user.body_len, 10);
    assert_int_equal(user.hidden_len, 20);
    assert_int_equal(shm_user_hidden(&user)[19], 7);
    shm_snapshot_end(f->actor, &snapshot);
}

/* So large a batch is copied before the lock is taken. */
static void large_batch_keeps_second_parts(void **state)
{
    struct fixture *f = *state;
    static uint8_t bytes[SHM_BATCH_MAX][2000];
    static struct shm_new_user users[SHM_BATCH_MAX];
    for (unsigned i = 0; i < SHM_BATCH_MAX; i++) {
        memset(bytes[i], (int)i, sizeof(bytes[i]));
        user_id(users[i].id, i);
        users[i].body = bytes[i];
        users[i].body_len = 1 + i;
        users[i].hidden = bytes[i] + 1 + i;
        users[i].hidden_len = 700 + i;
    }
    assert_int_equal(shm_users_insert(f->actor, users, SHM_BATCH_MAX, NULL), SHM_OK);
    for (unsigned i = 0; i < SHM_BATCH_MAX; i++) {
        struct shm_user user = find(f, i);
        assert_int_equal(user.body_len, 1 + i);
        assert_int_equal(user.hidden_len, 700 + i);
        assert_memory_equal(shm_user_hidden(&user), users[i].hidden, user.hidden_len);
    }
    segment_check(f->store, SHM_BATCH_MAX);
}

#define WITH(test)  cmocka_unit_test_setup_teardown(test, setup, fixture_teardown)
#define PLAIN(test) cmocka_unit_test_setup_teardown(test, set_up_plainly, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(renamed_user_is_found_by_the_new_keys_only),
        WITH(key_may_appear_change_alone_and_disappear),
        WITH(freed_key_can_be_taken_at_once_and_taken_back),
        WITH(taken_key_is_refused_and_changes_nothing),
        WITH(one_of_several_must_keep_its_keys),
        WITH(renamed_user_keeps_its_place_in_listings),
        WITH(cursor_that_stands_on_a_renamed_user_goes_on),
        WITH(each_snapshot_sees_the_keys_of_its_time),
        WITH(tower_follows_the_user),
        WITH(tool_reads_renamed_users),
        WITH(unprotected_listing_leaves_out_later_users),
        WITH(listing_ends_before_later_users_who_were_renamed),
        WITH(nodes_of_a_user_in_the_wrong_order_are_found),
        WITH(nodes_of_a_user_that_overlap_are_found),
        WITH(chain_that_is_a_circle_ends),
        WITH(feed_has_one_update),
        WITH(many_renames_leave_no_memory_behind),
        WITH(next_server_has_the_renamed_users),
        WITH(update_and_delete_of_an_older_version_are_refused),
        WITH(batch_with_one_older_version_changes_nothing),
        PLAIN(both_parts_are_kept_and_told_apart),
        PLAIN(snapshot_lists_the_second_parts_of_its_time),
        PLAIN(large_batch_keeps_second_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
