/* SPDX-License-Identifier: MIT */
/*
 * A stored user on the wire, as protobuf-c reads it: the usual body, which has a short way, and all
 * others. The parts and the room for the user have exactly the size that they need, so the address
 * sanitizer sees what lies outside.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/rosterd/directory/v1/directory.pb-c.h"
#include "service/directory/directory_fields.h"
#include "service/directory/directory_user.h"
#include "user/user_record.h"

typedef Rosterd__Directory__V1__User message_user;

static const char letters[] = "abcdefghijklmnopqrstuvwxyz";
static uint8_t id[UUID_SIZE];

/* @param body of body_len bytes, and then hidden_len bytes of the hidden part
 * @param len set to the length @return the user on the wire, which the caller frees */
static uint8_t *encode(const uint8_t *parts, size_t body_len, size_t hidden_len, unsigned fields,
                       size_t *len)
{
    size_t size = body_len + hidden_len;
    uint8_t *exact = malloc(size != 0 ? size : 1);
    if (size != 0)
        memcpy(exact, parts, size);
    const struct shm_user user = {.id = id,
                                  .body = exact,
                                  .body_len = (uint32_t)body_len,
                                  .hidden_len = (uint32_t)hidden_len,
                                  .version = 0x1a2b3c};
    uint8_t *out = malloc(directory_user_bound(&user));
    *len = directory_user_encode(out, &user, fields);
    assert_true(*len <= directory_user_bound(&user));
    free(exact);
    return out;
}

static message_user *encode_and_unpack(const uint8_t *parts, size_t body_len, size_t hidden_len,
                                       unsigned fields)
{
    size_t len;
    uint8_t *bytes = encode(parts, body_len, hidden_len, fields, &len);
    message_user *user = rosterd__directory__v1__user__unpack(NULL, len, bytes);
    free(bytes);
    assert_non_null(user);
    return user;
}

static void expect_text(ProtobufCBinaryData has, struct user_text wanted)
{
    assert_int_equal(has.len, wanted.len);
    if (wanted.len != 0)
        assert_memory_equal(has.data, wanted.data, wanted.len);
}

static void expect_record(const message_user *user, const struct user_record *record)
{
    const struct user_fields *fields = &record->fields;
    char name[DIRECTORY_NAME_SIZE];
    directory_name_format(name, id);
    expect_text(user->name, (struct user_text){(uint8_t *)name, sizeof(name)});
    expect_text(user->username, fields->username);
    expect_text(user->email, fields->email);
    assert_int_equal(user->n_roles, fields->num_roles);
    for (size_t i = 0; i < user->n_roles; i++)
        expect_text(user->roles[i], fields->roles[i]);
    assert_int_equal(user->n_labels, record->num_labels);
    for (size_t i = 0; i < user->n_labels; i++) {
        expect_text(user->labels[i]->key, record->labels[i].key);
        expect_text(user->labels[i]->value, record->labels[i].value);
    }
    assert_int_equal(user->disabled, record->disabled);
    assert_int_equal(user->has_password, record->secret.len != 0);
    expect_text(user->etag, (struct user_text){(const uint8_t *)"\"1a2b3c\"", 8});
    assert_true(user->create_time->seconds == fields->created_at);
    assert_int_equal(user->create_time->nanos, 0);
    assert_true(user->update_time->seconds * 1000000000 + user->update_time->nanos ==
                record->update_time);
}

static uint64_t seed = 1;
static size_t below(size_t bound)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (size_t)(seed >> 33) % bound;
}

static struct user_text text_of(size_t len)
{
    static uint8_t many[512];
    for (size_t i = 0; i < sizeof(many); i++)
        many[i] = (uint8_t)letters[i % 26];
    return (struct user_text){.data = many + below(26), .len = len};
}

static void users_of_all_kinds_are_what_they_were(void **state)
{
    static const int64_t times[] = {0,
                                    1,
                                    (1 << 28) - 1,
                                    1 << 28,
                                    INT64_C(1795000000),
                                    (INT64_C(1) << 35) - 1,
                                    (INT64_C(1) << 33)};
    (void)state;
    for (unsigned round = 0; round < 20000; round++) {
        struct user_text roles[4];
        struct user_label labels[2];
        struct user_record record = {
            .fields = {.username = text_of(1 + below(below(4) != 0 ? 40 : USER_USERNAME_MAX)),
                       .email = text_of(below(below(4) != 0 ? 60 : USER_EMAIL_MAX)),
                       .created_at = times[below(sizeof(times) / sizeof(times[0]))],
                       .roles = roles,
                       .num_roles = below(5)},
            .disabled = below(4) == 0,
            .labels = labels,
            .num_labels = below(3)};
        for (size_t i = 0; i < record.fields.num_roles; i++)
            roles[i] = text_of(1 + below(USER_ROLE_MAX));
        for (size_t i = 0; i < record.num_labels; i++)
            labels[i] = (struct user_label){.key = {(const uint8_t *)letters + i, 1 + below(10)},
                                            .value = text_of(below(10))};
        if (below(3) == 0)
            record.secret = text_of(40);
        /* Timestamps in nanoseconds end in the year 2262. */
        record.update_time = user_create_time(&record.fields);
        if (record.fields.created_at > INT64_C(9000000000))
            record.fields.created_at = 1795000000,
            record.update_time = INT64_C(1795000000000000000);
        else if (below(3) == 0)
            record.update_time += 1 + (int64_t)below(1000000000);
        uint8_t parts[USER_BODY_MAX + USER_HIDDEN_MAX];
        size_t body = user_body_encode(parts, &record.fields);
        size_t hidden = user_hidden_encode(parts + body, &record);
        message_user *user = encode_and_unpack(parts, body, hidden, DIRECTORY_ALL);
        expect_record(user, &record);
        rosterd__directory__v1__user__free_unpacked(user, NULL);
        /* Without a user name the short way is not taken. */
        user =
            encode_and_unpack(parts, body, hidden, DIRECTORY_ALL & ~(unsigned)DIRECTORY_USERNAME);
        assert_int_equal(user->username.len, 0);
        record.fields.username.len = 0;
        expect_record(user, &record);
        rosterd__directory__v1__user__free_unpacked(user, NULL);
    }
}

static void years_far_away_are_told(void **state)
{
    static const int64_t times[] = {INT64_C(1) << 35, INT64_MAX, INT64_MIN, -1,
                                    (INT64_C(1) << 35) - 1};
    (void)state;
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        const struct user_fields fields = {
            .username = text_of(5), .email = text_of(9), .created_at = times[i]};
        uint8_t body[USER_BODY_MAX];
        message_user *user =
            encode_and_unpack(body, user_body_encode(body, &fields), 0, DIRECTORY_ALL);
        assert_true(user->create_time->seconds == times[i]);
        assert_true(user->update_time->seconds == times[i]);
        rosterd__directory__v1__user__free_unpacked(user, NULL);
    }
}

static void a_damaged_body_is_sent_as_far_as_it_can_be_read(void **state)
{
    struct user_text roles[2] = {text_of(4), text_of(5)};
    const struct user_fields fields = {.username = text_of(7),
                                       .email = text_of(20),
                                       .created_at = 1795000000,
                                       .roles = roles,
                                       .num_roles = 2};
    uint8_t body[USER_BODY_MAX], damaged[USER_BODY_MAX];
    size_t len = user_body_encode(body, &fields);
    (void)state;
    for (size_t cut = 0; cut < len; cut++) {
        message_user *user = encode_and_unpack(body, cut, 0, DIRECTORY_ALL);
        assert_true(user->username.len == (cut >= 9 ? 7 : 0));
        assert_true(user->email.len == (cut >= 31 ? 20 : 0));
        assert_true(user->create_time->seconds == (cut >= 37 ? 1795000000 : 0));
        assert_int_equal(user->n_roles, (cut >= 43) + (cut >= 50));
        rosterd__directory__v1__user__free_unpacked(user, NULL);
    }
    for (unsigned round = 0; round < 100000; round++) {
        size_t out;
        memcpy(damaged, body, len);
        for (size_t i = 0; i <= below(3); i++)
            damaged[below(len)] = (uint8_t)below(256);
        free(encode(damaged, len, 0, DIRECTORY_ALL, &out));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(users_of_all_kinds_are_what_they_were),
        cmocka_unit_test(years_far_away_are_told),
        cmocka_unit_test(a_damaged_body_is_sent_as_far_as_it_can_be_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
