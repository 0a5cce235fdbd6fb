/* SPDX-License-Identifier: MIT */
/* Hash chains in which one user, or one key, is deleted and created repeatedly while a stopped
 * reader keeps everything from being freed: the cost of lookups and writes, and which user they
 * find. */
#include <stdio.h>
#include <string.h>

#include "shm/careful.h"
#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/core/store_handle.h"
#include "shm/core/test_points.h"
#include "tests/shm/support.h"

enum { TIMES = 2000, FEW = 24, BODY = 48, NAME_AT = 8, NAME_SIZE = 16 };

void (*shm_test_hook)(const char *point);

/* A body holds the user's number and a name; the name is key 0. */
static uint32_t key_of(unsigned key, const uint8_t *body, uint32_t body_len, uint8_t *out)
{
    if (key != 0 || body_len < NAME_AT + NAME_SIZE)
        return 0;
    memcpy(out, body + NAME_AT, NAME_SIZE);
    return (uint32_t)strnlen((const char *)out, NAME_SIZE);
}

static void make_user(struct shm_new_user *user, uint8_t body[BODY], uint64_t n, const char *name)
{
    memset(body, 0, BODY);
    memcpy(body, &n, sizeof(n));
    snprintf((char *)body + NAME_AT, NAME_SIZE, "%s", name);
    user_id(user->id, n);
    user->body = body;
    user->body_len = BODY;
}

static int insert(struct shm_actor *actor, uint64_t n, const char *name)
{
    uint8_t body[BODY];
    struct shm_new_user user = {0};
    make_user(&user, body, n, name);
    return shm_users_insert(actor, &user, 1, NULL);
}

static int delete (struct shm_actor *actor, uint64_t n)
{
    uint8_t ids[1][SHM_ID_SIZE];
    user_id(ids[0], n);
    return shm_users_delete(actor, (const uint8_t(*)[SHM_ID_SIZE])ids, 1, NULL);
}

static int find(struct shm_actor *actor, uint64_t n, struct shm_user *user)
{
    uint8_t id[SHM_ID_SIZE];
    user_id(id, n);
    return shm_user_find(actor, id, user);
}

static int find_name(struct shm_actor *actor, const char *name, struct shm_user *user)
{
    return shm_user_find_key(actor, 0, (const uint8_t *)name, (uint32_t)strlen(name), user);
}

/* ---- visited nodes ---- */

static unsigned looks;

static void count_looks(const char *point)
{
    looks += strcmp(point, "compared") == 0 || strcmp(point, "reading") == 0 ||
             strcmp(point, "careful body") == 0;
}

static void start_counting(void)
{
    looks = 0;
    shm_test_hook = count_looks;
}

static void assert_few(const char *what)
{
    shm_test_hook = NULL;
    if (looks > FEW)
        fail_msg("%s: %u nodes were visited", what, looks);
}

/* ---- a stopped reader ---- */

static struct shm_actor *stopped;

static int setup(void **state)
{
    shm_test_hook = NULL;
    if (fixture_setup(state) != 0)
        return -1;
    struct fixture *f = *state;
    fixture_close(f);
    if (shm_store_unlink(f->name, NULL) != SHM_OK)
        return -1;
    f->config.max_users = 20000; /* few users share a bucket */
    f->config.unique = 1;
    f->config.key_of = key_of;
    if (fixture_reopen(f) != SHM_OK)
        return -1;
    return shm_actor_join(&stopped, f->store, SHM_ACTOR_WORKER, 1, &f->fault) == SHM_OK ? 0 : -1;
}

static int teardown(void **state)
{
    shm_test_hook = NULL;
    shm_actor_leave(stopped);
    stopped = NULL;
    return fixture_teardown(state);
}

/* Deletes and creates users with the same id, or with the same name. */
static void come_and_go(struct fixture *f, bool same_id)
{
    char name[NAME_SIZE];
    shm_actor_online(stopped);
    for (uint64_t i = 0; i < TIMES; i++) {
        snprintf(name, sizeof(name), "n%u", (unsigned)i);
        uint64_t n = same_id ? 7 : 1000 + i;
        assert_int_equal(insert(f->actor, n, same_id ? name : "hot"), SHM_OK);
        assert_int_equal(delete (f->actor, n), SHM_OK);
        shm_actor_offline(f->actor);
    }
    assert_true(shm_control()->retired.count >= TIMES);
}

static void deleted_and_recreated_id_costs_writers_one_look(void **state)
{
    struct fixture *f = *state;
    come_and_go(f, true);
    start_counting();
    assert_int_equal(delete (f->actor, 7), SHM_ENOENT);
    assert_few("delete of a deleted user");
    start_counting();
    assert_int_equal(insert(f->actor, 7, "again"), SHM_OK);
    assert_few("insert");
    start_counting();
    assert_int_equal(insert(f->actor, 7, "twice"), SHM_EEXIST);
    assert_few("insert of an existing user");
    start_counting();
    assert_int_equal(delete (f->actor, 7), SHM_OK);
    assert_few("delete");
    shm_actor_offline(stopped);
    segment_check(f->store, 0);
}

static void deleted_and_recreated_id_costs_readers_one_look(void **state)
{
    struct fixture *f = *state;
    struct shm_user user;
    come_and_go(f, true);
    start_counting();
    assert_int_equal(find(f->actor, 7, &user), SHM_ENOENT);
    assert_few("lookup of a deleted user");
    assert_int_equal(insert(f->actor, 7, "again"), SHM_OK);
    start_counting();
    assert_int_equal(find(f->actor, 7, &user), SHM_OK);
    assert_few("lookup");
}

static void deleted_and_recreated_key_costs_writers_one_look(void **state)
{
    struct fixture *f = *state;
    come_and_go(f, false);
    start_counting();
    assert_int_equal(insert(f->actor, 1, "hot"), SHM_OK);
    assert_few("insert");
    start_counting();
    assert_int_equal(insert(f->actor, 2, "hot"), SHM_EKEY);
    assert_few("insert of a taken key");
    shm_actor_offline(stopped);
    segment_check(f->store, 1);
}

static void deleted_and_recreated_key_costs_readers_one_look(void **state)
{
    struct fixture *f = *state;
    struct shm_user user;
    come_and_go(f, false);
    start_counting();
    assert_int_equal(find_name(f->actor, "hot", &user), SHM_ENOENT);
    assert_few("lookup of a deleted user");
    assert_int_equal(insert(f->actor, 1, "hot"), SHM_OK);
    start_counting();
    assert_int_equal(find_name(f->actor, "hot", &user), SHM_OK);
    assert_few("lookup");
}

static void look_carefully(struct fixture *f, bool protected, bool same_id)
{
    struct shm_store look = *f->store;
    struct shm_reader *reader;
    struct shm_record record;
    uint8_t id[SHM_ID_SIZE];
    user_id(id, 7);
    look.locked_out = !protected;
    assert_int_equal(shm_reader_open(&reader, &look, &f->fault), SHM_OK);
    for (int round = 0; round < 2; round++) {
        start_counting();
        int rc =
            same_id ? shm_reader_find(reader, id, &record, &f->fault)
                    : shm_reader_find_key(reader, 0, (const uint8_t *)"hot", 3, &record, &f->fault);
        assert_int_equal(rc, round == 0 ? SHM_ENOENT : SHM_OK);
        assert_few("careful lookup");
        if (round == 0)
            assert_int_equal(insert(f->actor, 7, "hot"), SHM_OK);
    }
    assert_int_equal(delete (f->actor, 7), SHM_OK);
    shm_reader_close(reader);
}

static void deleted_and_recreated_user_costs_a_careful_reader_one_look(void **state)
{
    struct fixture *f = *state;
    for (int protected = 0; protected < 2; protected ++)
        for (int same_id = 0; same_id < 2; same_id++) {
            shm_actor_offline(stopped);
            while (shm_maintain(f->actor) < 100)
                shm_actor_offline(f->actor);
            come_and_go(f, same_id != 0);
            look_carefully(f, protected != 0, same_id != 0);
        }
}

/* ---- which user is found ---- */

static struct fixture *fixture;
static const char *awaited;

/* At the point, once: user 7 is deleted and created again, with the same name. */
static void go_and_come(const char *point)
{
    if (strcmp(point, awaited) != 0)
        return;
    shm_test_hook = NULL;
    assert_int_equal(delete (fixture->actor, 7), SHM_OK);
    assert_int_equal(insert(fixture->actor, 7, "hot"), SHM_OK);
}

/* The new user is before the old one in the chain, and too young for the reader. */
static void earlier_reader_finds_the_earlier_user(void **state)
{
    static const char *const points[] = {"version seen", "reading"};
    struct fixture *f = *state;
    struct shm_user user;
    fixture = f;
    assert_int_equal(insert(f->actor, 7, "hot"), SHM_OK);
    for (size_t i = 0; i < 4; i++) {
        uint64_t version = shm_control()->version, seq = shm_control()->seq;
        awaited = points[i % 2];
        shm_test_hook = go_and_come;
        if (i < 2)
            assert_int_equal(find(stopped, 7, &user), SHM_OK);
        else
            assert_int_equal(find_name(stopped, "hot", &user), SHM_OK);
        assert_null(shm_test_hook);
        assert_int_equal(user.version, version);
        assert_int_equal(user.seq, seq);
        shm_actor_offline(stopped);
    }
}

static void earlier_careful_reader_finds_the_earlier_user(void **state)
{
    struct fixture *f = *state;
    struct shm_reader *reader;
    struct shm_record record;
    uint8_t id[SHM_ID_SIZE];
    fixture = f;
    awaited = "careful lookup";
    user_id(id, 7);
    assert_int_equal(insert(f->actor, 7, "hot"), SHM_OK);
    assert_int_equal(shm_reader_open(&reader, f->store, &f->fault), SHM_OK);
    for (int by_key = 0; by_key < 2; by_key++) {
        uint64_t version = shm_control()->version, seq = shm_control()->seq;
        shm_test_hook = go_and_come;
        int rc = by_key == 0 ? shm_reader_find(reader, id, &record, &f->fault)
                             : shm_reader_find_key(reader, 0, (const uint8_t *)"hot", 3, &record,
                                                   &f->fault);
        assert_int_equal(rc, SHM_OK);
        assert_null(shm_test_hook);
        assert_int_equal(record.version, version);
        assert_int_equal(record.seq, seq);
        shm_reader_rest(reader);
    }
    shm_reader_close(reader);
}

static void see_who_is_there(const char *point)
{
    struct shm_user user;
    if (strcmp(point, "half published") != 0 && strcmp(point, "published") != 0)
        return;
    looks++;
    assert_int_equal(find(stopped, 7, &user), SHM_ENOENT);
    assert_int_equal(find_name(stopped, "hot", &user), SHM_ENOENT);
}

static void between_a_delete_and_the_next_insert_no_user_is_found(void **state)
{
    struct fixture *f = *state;
    struct shm_user user;
    looks = 0;
    shm_actor_online(stopped); /* deleted users stay in their chains */
    for (int i = 0; i < 3; i++) {
        assert_int_equal(insert(f->actor, 7, "hot"), SHM_OK);
        assert_int_equal(delete (f->actor, 7), SHM_OK);
    }
    shm_test_hook = see_who_is_there;
    assert_int_equal(insert(f->actor, 7, "hot"), SHM_OK);
    shm_test_hook = NULL;
    assert_int_equal(looks, 2);
    assert_int_equal(find(stopped, 7, &user), SHM_OK);
    assert_int_equal(find_name(stopped, "hot", &user), SHM_OK);
}

/* Until the commit, `died` of a recycled node is the link of the free list, and does not mean
 * that the user is deleted. */
static void batch_with_a_duplicate_in_recycled_nodes_is_refused(void **state)
{
    enum { SOME = 20 };
    static const uint64_t ids[][3] = {{1, 2, 1}, {1, 2, 3}};
    struct fixture *f = *state;
    uint8_t bodies[3][BODY];
    struct shm_new_user users[3] = {0};
    struct shm_conflict conflict;
    for (uint64_t n = 100; n < 100 + SOME; n++) {
        char name[NAME_SIZE];
        snprintf(name, sizeof(name), "n%u", (unsigned)n);
        assert_int_equal(insert(f->actor, n, name), SHM_OK);
        assert_int_equal(delete (f->actor, n), SHM_OK);
    }
    while (shm_maintain(f->actor) < 100)
        shm_actor_offline(f->actor);
    assert_true(shm_control()->alloc[SHM_ALLOC_NODE_FREE] != 0);
    for (int round = 0; round < 2; round++) {
        static const char *const names[] = {"a", "b", "a"};
        for (size_t i = 0; i < 3; i++)
            make_user(&users[i], bodies[i], ids[round][i], names[i]);
        assert_int_equal(shm_users_insert(f->actor, users, 3, &conflict),
                         round == 0 ? SHM_EEXIST : SHM_EKEY);
        assert_int_equal(conflict.which, 2);
    }
    shm_actor_offline(f->actor);
    segment_check(f->store, 0);
}

/* Two users had the same name while names were not unique; the younger was deleted, and is not
 * freed yet. */
static void index_built_later_ignores_deleted_users(void **state)
{
    struct fixture *f = *state;
    struct shm_user user;
    shm_actor_leave(stopped);
    fixture_close(f);
    f->config.unique = 0;
    assert_int_equal(fixture_reopen(f), SHM_OK);
    assert_int_equal(shm_actor_join(&stopped, f->store, SHM_ACTOR_WORKER, 1, &f->fault), SHM_OK);
    shm_actor_online(stopped);
    assert_int_equal(insert(f->actor, 1, "hot"), SHM_OK);
    assert_int_equal(insert(f->actor, 2, "hot"), SHM_OK);
    assert_int_equal(delete (f->actor, 2), SHM_OK);
    shm_actor_leave(stopped);
    stopped = NULL;
    fixture_close(f);
    f->config.unique = 1;
    assert_int_equal(fixture_reopen(f), SHM_OK);
    assert_int_equal(shm_control()->retired.count, 1);
    assert_int_equal(find_name(f->actor, "hot", &user), SHM_OK);
    assert_int_equal(insert(f->actor, 3, "hot"), SHM_EKEY);
    segment_check(f->store, 1);
    while (shm_maintain(f->actor) < 100)
        shm_actor_offline(f->actor);
    assert_int_equal(shm_control()->retired.count, 0);
    assert_int_equal(find_name(f->actor, "hot", &user), SHM_OK);
    shm_actor_offline(f->actor);
    segment_check(f->store, 1);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH(deleted_and_recreated_id_costs_writers_one_look),
        WITH(deleted_and_recreated_id_costs_readers_one_look),
        WITH(deleted_and_recreated_key_costs_writers_one_look),
        WITH(deleted_and_recreated_key_costs_readers_one_look),
        WITH(deleted_and_recreated_user_costs_a_careful_reader_one_look),
        WITH(earlier_reader_finds_the_earlier_user),
        WITH(earlier_careful_reader_finds_the_earlier_user),
        WITH(between_a_delete_and_the_next_insert_no_user_is_found),
        WITH(batch_with_a_duplicate_in_recycled_nodes_is_refused),
        WITH(index_built_later_ignores_deleted_users),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
