/* SPDX-License-Identifier: MIT */
/* Whose hash is worked on for a key that nobody has. With a real store. */
#include "service/directory/verify_stand_in.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "shm/disk.h"
#include "tests/shm/support.h"
#include "user/user_record.h"

enum { KEYS = 2000 };

static struct fixture *f;
static struct user_service service;

static int open_table(void **state)
{
    if (fixture_setup(state) != 0)
        return -1;
    f = *state;
    service.store = f->store;
    service.actor = f->actor;
    return 0;
}

static struct user_text text_of(const char *text)
{
    return (struct user_text){.data = (const uint8_t *)text, .len = strlen(text)};
}

/* Creates users n to n + count - 1. */
static void create(uint64_t n, unsigned count, const char *hash)
{
    for (unsigned i = 0; i < count; i++) {
        uint8_t body[USER_BODY_MAX], hidden[USER_HIDDEN_MAX];
        char username[32];
        (void)snprintf(username, sizeof(username), "user%" PRIu64, n + i);
        const struct user_record record = {
            .fields = {.username = text_of(username), .created_at = 1},
            .disabled = i % 2 != 0, /* they have hashes nevertheless */
            .secret = text_of(hash),
        };
        struct shm_new_user user = {.body = body, .hidden = hidden};
        user_id(user.id, n + i);
        user.body_len = (uint32_t)user_body_encode(body, &record.fields);
        user.hidden_len = (uint32_t)user_hidden_encode(hidden, &record);
        assert_int_equal(shm_users_insert(f->actor, &user, 1, NULL), SHM_OK);
    }
}

static void stand_in(unsigned n, enum directory_verify_by by, char hash[PASSWORD_HASH_MAX + 1])
{
    char key[32];
    int len = snprintf(key, sizeof(key), "nobody%u", n);
    memset(hash, 'x', PASSWORD_HASH_MAX + 1);
    verify_stand_in(&service, by, key, (size_t)len, hash);
    shm_actor_offline(f->actor);
}

static void hash_is_that_of_the_user(void **state)
{
    (void)state;
    char hash[PASSWORD_HASH_MAX + 1];
    uint8_t id[SHM_ID_SIZE];
    struct shm_user user;
    create(0, 1, "$2b$05$xyz");
    create(1, 1, "");
    user_id(id, 0);
    assert_int_equal(shm_user_find(f->actor, id, &user), SHM_OK);
    assert_true(verify_hash_of(&user, hash));
    assert_string_equal(hash, "$2b$05$xyz");
    user_id(id, 1);
    assert_int_equal(shm_user_find(f->actor, id, &user), SHM_OK);
    assert_false(verify_hash_of(&user, hash));
    assert_string_equal(hash, "");
    shm_actor_offline(f->actor);
}

static void nobody_stands_in_in_an_empty_table(void **state)
{
    (void)state;
    char hash[PASSWORD_HASH_MAX + 1];
    uint8_t id[1][SHM_ID_SIZE];
    stand_in(1, VERIFY_BY_USERNAME, hash);
    assert_string_equal(hash, "");
    create(0, 1, "$6$a");
    user_id(id[0], 0);
    assert_int_equal(shm_users_delete(f->actor, (const uint8_t(*)[SHM_ID_SIZE])id, 1, NULL),
                     SHM_OK);
    stand_in(1, VERIFY_BY_USERNAME, hash);
    assert_string_equal(hash, "");
}

static unsigned count_stand_ins(const char *wanted)
{
    char hash[PASSWORD_HASH_MAX + 1];
    unsigned count = 0;
    for (unsigned n = 0; n < KEYS; n++) {
        stand_in(n, VERIFY_BY_EMAIL, hash);
        count += strcmp(hash, wanted) == 0;
    }
    return count;
}

/* Wherever they are in the table. */
static void kinds_of_hashes_are_as_many_as_in_the_table(void **state)
{
    (void)state;
    create(0, 200, "$argon2id$");
    create(200, 100, "$2b$");
    assert_in_range(count_stand_ins("$2b$"), KEYS * 28 / 100, KEYS * 39 / 100);
    create(300, 100, "$argon2id$");
    assert_in_range(count_stand_ins("$2b$"), KEYS * 20 / 100, KEYS * 30 / 100);
    create(400, 300, "");
    assert_in_range(count_stand_ins("$2b$"), KEYS * 20 / 100, KEYS * 30 / 100);
    assert_int_equal(count_stand_ins(""), 0);
}

static void delete_users(uint64_t n, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        uint8_t id[1][SHM_ID_SIZE];
        user_id(id[0], n + i);
        assert_int_equal(shm_users_delete(f->actor, (const uint8_t(*)[SHM_ID_SIZE])id, 1, NULL),
                         SHM_OK);
    }
}

static void nobody_stands_in_for_those_who_are_gone(void **state)
{
    (void)state;
    create(0, 300, "$y$");
    create(300, 1, "$2b$");
    create(301, 99, "$argon2id$");
    create(400, 100, "$y$");
    delete_users(0, 300);
    delete_users(400, 100);
    assert_int_equal(count_stand_ins("$y$"), 0);
    assert_in_range(count_stand_ins("$2b$"), 1, KEYS * 4 / 100);
    assert_in_range(count_stand_ins(""), 0, KEYS / 100);
}

static void key_keeps_its_user_while_the_table_grows(void **state)
{
    (void)state;
    static char before[KEYS][PASSWORD_HASH_MAX + 1];
    char hash[PASSWORD_HASH_MAX + 1];
    unsigned others = 0, by_email = 0;
    for (unsigned i = 0; i < 64; i++) {
        (void)snprintf(hash, sizeof(hash), "$6$%u", i);
        create(i, 1, hash);
    }
    for (unsigned n = 0; n < KEYS; n++)
        stand_in(n, VERIFY_BY_USERNAME, before[n]);
    create(64, 16, "$2b$");
    for (unsigned n = 0; n < KEYS; n++) {
        stand_in(n, VERIFY_BY_USERNAME, hash);
        if (strcmp(hash, before[n]) != 0) {
            assert_string_equal(hash, "$2b$");
            others++;
        }
        stand_in(n, VERIFY_BY_EMAIL, hash);
        by_email += strcmp(hash, before[n]) != 0;
    }
    assert_in_range(others, KEYS * 15 / 100, KEYS * 25 / 100);
    assert_in_range(by_email, KEYS * 9 / 10, KEYS);
}

int main(void)
{
#define STAND_IN_TEST(test) cmocka_unit_test_setup_teardown(test, open_table, fixture_teardown)
    const struct CMUnitTest tests[] = {
        STAND_IN_TEST(hash_is_that_of_the_user),
        STAND_IN_TEST(nobody_stands_in_in_an_empty_table),
        STAND_IN_TEST(kinds_of_hashes_are_as_many_as_in_the_table),
        STAND_IN_TEST(nobody_stands_in_for_those_who_are_gone),
        STAND_IN_TEST(key_keeps_its_user_while_the_table_grows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
