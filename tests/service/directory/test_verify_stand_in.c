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

/* A quarter of the users has bcrypt hashes, and an eighth has none. */
static void kinds_of_hashes_are_as_many_as_in_the_table(void **state)
{
    (void)state;
    unsigned bcrypt = 0, none = 0;
    for (unsigned i = 0; i < 64; i++)
        create(i, 1, i % 4 == 1 ? "$2b$" : i % 8 == 2 ? "" : "$argon2id$");
    for (unsigned n = 0; n < KEYS; n++) {
        char hash[PASSWORD_HASH_MAX + 1];
        stand_in(n, VERIFY_BY_EMAIL, hash);
        bcrypt += strcmp(hash, "$2b$") == 0;
        none += hash[0] == '\0';
    }
    assert_in_range(bcrypt, KEYS / 5, KEYS / 3);
    assert_in_range(none, KEYS / 12, KEYS / 6);
}

static void key_keeps_its_user_until_the_table_has_doubled(void **state)
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
    create(64, 63, "$2b$");
    for (unsigned n = 0; n < KEYS; n++) {
        stand_in(n, VERIFY_BY_USERNAME, hash);
        assert_string_equal(hash, before[n]);
        stand_in(n, VERIFY_BY_EMAIL, hash);
        by_email += strcmp(hash, before[n]) != 0;
    }
    assert_in_range(by_email, KEYS * 9 / 10, KEYS);
    create(127, 1, "$2b$");
    for (unsigned n = 0; n < KEYS; n++) {
        stand_in(n, VERIFY_BY_USERNAME, hash);
        others += strcmp(hash, "$2b$") == 0;
    }
    assert_in_range(others, KEYS * 2 / 5, KEYS * 3 / 5);
}

int main(void)
{
#define STAND_IN_TEST(test) cmocka_unit_test_setup_teardown(test, open_table, fixture_teardown)
    const struct CMUnitTest tests[] = {
        STAND_IN_TEST(hash_is_that_of_the_user),
        STAND_IN_TEST(nobody_stands_in_in_an_empty_table),
        STAND_IN_TEST(kinds_of_hashes_are_as_many_as_in_the_table),
        STAND_IN_TEST(key_keeps_its_user_until_the_table_has_doubled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
