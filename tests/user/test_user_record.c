/* SPDX-License-Identifier: MIT */
/* A whole user: what it may have in all, and the hidden part, which must be what protobuf-c packs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shm/store.h"
#include "tests/user/hidden_part.pb-c.h"
#include "tests/user/user_texts.h"
#include "user/user_record.h"

enum { CREATED = 1795400000 };

static char letters[4096], email[USER_EMAIL_MAX];

static struct user_text some_letters(size_t len)
{
    return (struct user_text){.data = (const uint8_t *)letters, .len = len};
}

static struct user_record plain_record(void)
{
    return (struct user_record){.fields = {.username = TEXT("alice"),
                                           .email = TEXT("alice@example.org"),
                                           .created_at = CREATED},
                                .update_time = INT64_C(1000000000) * CREATED};
}

/* ---- checks ---- */

static const char *reason_against(const struct user_record *record)
{
    const char *reason = "not set";
    return user_record_check(record, &reason) ? NULL : reason;
}

static void each_field_is_checked(void **state)
{
    struct user_record record = plain_record();
    struct user_text role = TEXT("a,b");
    struct user_label label = {.key = TEXT("-")};
    (void)state;
    assert_null(reason_against(&record));
    record.fields.username.len = 0;
    assert_string_equal(reason_against(&record), "username is required");
    record = plain_record();
    record.fields.roles = &role;
    record.fields.num_roles = 1;
    assert_non_null(strstr(reason_against(&record), "role"));
    record = plain_record();
    record.labels = &label;
    record.num_labels = 1;
    assert_ptr_equal(strstr(reason_against(&record), "labels"), reason_against(&record));
}

static void secret_is_at_most_512_visible_characters(void **state)
{
    struct user_record record = plain_record();
    (void)state;
    record.secret = some_letters(USER_SECRET_MAX);
    assert_null(reason_against(&record));
    record.secret = some_letters(USER_SECRET_MAX + 1);
    assert_string_equal(reason_against(&record), "password_hash is longer than 512 bytes");
    record.secret = text_of_string("$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaA+/");
    assert_null(reason_against(&record));
    static const char *const bad[] = {"a b", "a\n", "\x7f", "\xc3\xa4", "\x1f"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        record.secret = text_of_string(bad[i]);
        assert_string_equal(reason_against(&record),
                            "password_hash contains a space, a control character or a character "
                            "that is not ASCII");
    }
}

/* Users of every size around the bound: the check must agree with the bytes that are written. */
struct large_user {
    struct user_record record;
    struct user_text roles[USER_ROLES_MAX];
    struct user_label labels[USER_LABELS_MAX];
    char role_texts[USER_ROLES_MAX][USER_ROLE_MAX], keys[USER_LABELS_MAX][8];
};

static void make_large(struct large_user *user, size_t role_len, size_t value_len,
                       size_t secret_len)
{
    *user =
        (struct large_user){.record = {.fields = {.username = some_letters(USER_USERNAME_MAX),
                                                  .email = {(const uint8_t *)email, sizeof(email)},
                                                  .created_at = INT64_MIN,
                                                  .roles = user->roles,
                                                  .num_roles = USER_ROLES_MAX},
                                       .labels = user->labels,
                                       .num_labels = USER_LABELS_MAX,
                                       .secret = some_letters(secret_len)}};
    for (size_t i = 0; i < USER_ROLES_MAX; i++) {
        memset(user->role_texts[i], 'r', sizeof(user->role_texts[i]));
        user->role_texts[i][0] = (char)('A' + i % 26);
        user->role_texts[i][1] = (char)('A' + i / 26);
        user->roles[i] =
            (struct user_text){.data = (uint8_t *)user->role_texts[i], .len = role_len};
        snprintf(user->keys[i], sizeof(user->keys[i]), "key%zu", i);
        user->labels[i].key = text_of_string(user->keys[i]);
        user->labels[i].value = some_letters(value_len);
    }
}

static void body_and_hidden_part_have_4000_bytes_together(void **state)
{
    static struct large_user user;
    static struct stored_user stored;
    unsigned refused = 0, accepted = 0;
    (void)state;
    for (size_t role_len = 44; role_len <= USER_ROLE_MAX; role_len += 2) {
        for (size_t value_len = 0; value_len <= 27; value_len += 3) {
            for (size_t secret_len = 0; secret_len <= USER_SECRET_MAX; secret_len += 16) {
                make_large(&user, role_len, value_len, secret_len);
                store_user(&stored, &user.record);
                const bool fits = stored.body_len + stored.hidden_len <= USER_RECORD_MAX;
                assert_int_equal(reason_against(&user.record) == NULL, fits);
                accepted += fits;
                refused += !fits;
            }
        }
    }
    assert_true(refused > 100 && accepted > 1000);
}

static void last_byte_that_fits_is_found(void **state)
{
    static struct large_user user;
    static struct stored_user stored;
    size_t secret_len = 0;
    (void)state;
    do {
        make_large(&user, USER_ROLE_MAX, 27, ++secret_len);
    } while (reason_against(&user.record) == NULL);
    assert_string_equal(reason_against(&user.record),
                        "roles, labels, password_hash and the other fields are longer than 4000 "
                        "bytes together");
    store_user(&stored, &user.record);
    assert_int_equal(stored.body_len + stored.hidden_len, USER_RECORD_MAX + 1);
}

static void record_is_as_large_as_the_store_takes(void **state)
{
    (void)state;
    assert_int_equal(USER_RECORD_MAX, SHM_BODY_MAX);
}

/* ---- the hidden part ---- */

static ProtobufCBinaryData packed(struct user_text text)
{
    return (ProtobufCBinaryData){.len = text.len, .data = (uint8_t *)text.data};
}

/* The same bytes, made by protobuf-c. The labels must be in order. */
static size_t pack_hidden(uint8_t *out, const struct user_record *record)
{
    static char texts[USER_LABELS_MAX][2][1100];
    Testuser__Label labels[USER_LABELS_MAX], *pointers[USER_LABELS_MAX];
    Testuser__HiddenPart message = TESTUSER__HIDDEN_PART__INIT;
    message.has_disabled = message.disabled = record->disabled;
    message.has_update_time = record->update_time != user_create_time(&record->fields);
    message.update_time = record->update_time;
    message.has_secret = record->secret.len != 0;
    message.secret = packed(record->secret);
    message.n_labels = record->num_labels;
    message.labels = pointers;
    for (size_t i = 0; i < record->num_labels; i++) {
        const struct user_label *from = &record->labels[i];
        snprintf(texts[i][0], sizeof(texts[i][0]), "%.*s", (int)from->key.len, from->key.data);
        snprintf(texts[i][1], sizeof(texts[i][1]), "%.*s", (int)from->value.len, from->value.data);
        testuser__label__init(&labels[i]);
        labels[i].key = texts[i][0];
        labels[i].value = from->value.len == 0 ? NULL : texts[i][1];
        pointers[i] = &labels[i];
    }
    return testuser__hidden_part__pack(&message, out);
}

static void assert_text_equal(struct user_text a, struct user_text b)
{
    assert_true(user_text_equal(a, b));
}

static void assert_encoded_as_protobuf_c_does(const struct user_record *record)
{
    static struct stored_user stored, again;
    uint8_t expected[8192];
    struct user_record back;
    struct user_record_room room;
    store_user(&stored, record);
    assert_true(stored.hidden_len <= USER_HIDDEN_MAX);
    assert_int_equal(stored.hidden_len, pack_hidden(expected, record));
    assert_memory_equal(stored.hidden, expected, stored.hidden_len);

    assert_true(user_record_decode(&back, &room, stored.body, stored.body_len, stored.hidden,
                                   stored.hidden_len));
    assert_int_equal(back.disabled, record->disabled);
    assert_int_equal(back.update_time, record->update_time);
    assert_int_equal(back.num_labels, record->num_labels);
    for (size_t i = 0; i < back.num_labels; i++) {
        assert_text_equal(back.labels[i].key, record->labels[i].key);
        assert_text_equal(back.labels[i].value, record->labels[i].value);
    }
    assert_text_equal(back.secret, record->secret);
    assert_text_equal(back.fields.username, record->fields.username);
    store_user(&again, &back);
    assert_int_equal(again.hidden_len, stored.hidden_len);
    assert_memory_equal(again.hidden, stored.hidden, stored.hidden_len);
}

static void hidden_part_is_encoded_as_protobuf_c_does(void **state)
{
    static const struct user_label labels[] = {
        {.key = TEXT("a"), .value = TEXT("")},
        {.key = TEXT("b.c/d"), .value = TEXT("\xc3\xa4 x")},
        {.key = TEXT("team"), .value = TEXT("core")},
    };
    static const int64_t times[] = {INT64_C(1000000000) * CREATED, 0, 1, -1, INT64_MAX, INT64_MIN};
    struct user_record record = plain_record();
    (void)state;
    record.labels = labels;
    for (size_t i = 0; i < sizeof(times) / sizeof(*times); i++) {
        record.update_time = times[i];
        for (record.num_labels = 0; record.num_labels <= 3; record.num_labels++) {
            record.disabled = record.num_labels % 2 == 0;
            record.secret =
                record.num_labels % 3 == 0 ? text_of_string("$2b$12$x") : (struct user_text){0};
            assert_encoded_as_protobuf_c_does(&record);
        }
    }
}

static void user_that_was_only_created_has_no_hidden_part(void **state)
{
    const struct user_record record = plain_record();
    uint8_t hidden[USER_HIDDEN_MAX];
    (void)state;
    assert_int_equal(user_hidden_encode(hidden, &record), 0);
    assert_encoded_as_protobuf_c_does(&record);
}

static void longest_hidden_part_fits_its_bound(void **state)
{
    struct user_label labels[USER_LABELS_MAX];
    char keys[USER_LABELS_MAX][400];
    struct user_record record = plain_record();
    (void)state;
    record.disabled = true;
    record.update_time = INT64_MAX;
    record.labels = labels;
    record.secret = some_letters(USER_SECRET_MAX);
    /* Three labels with lengths of two bytes, the others with short ones: 1,024 bytes in all. */
    for (int i = 0; i < USER_LABELS_MAX; i++) {
        snprintf(keys[i], sizeof(keys[i]), i < 2 ? "%0250d/%02d" : "%.0d%02d", 0, i);
        labels[i].key = text_of_string(keys[i]);
        labels[i].value = some_letters(i < 3 ? 128 : 2);
    }
    labels[2].value.len = 1024 - 2 * (253 + 128) - 2 - 29 * 4;
    record.num_labels = USER_LABELS_MAX;
    assert_null(reason_against(&record));
    uint8_t hidden[USER_HIDDEN_MAX];
    assert_true(user_hidden_encode(hidden, &record) <= USER_HIDDEN_MAX);
}

static void labels_in_any_order_are_the_same_bytes(void **state)
{
    static const char *const keys[] = {"a", "a-b", "a.b", "aa", "b", "x/a", "B", "0"};
    enum { KEYS = sizeof(keys) / sizeof(*keys) };
    struct user_label labels[KEYS];
    struct user_record record = plain_record(), back;
    struct user_record_room room;
    struct stored_user first, other;
    (void)state;
    record.labels = labels;
    record.num_labels = KEYS;
    for (size_t turn = 0; turn < KEYS; turn++) {
        for (size_t i = 0; i < KEYS; i++) {
            const size_t k = (turn % 2 == 0 ? i + turn : 2 * KEYS - 1 - i - turn) % KEYS;
            labels[i] = (struct user_label){.key = text_of_string(keys[k]),
                                            .value = text_of_string(keys[k])};
        }
        store_user(&other, &record);
        if (turn == 0)
            first = other;
        assert_int_equal(other.hidden_len, first.hidden_len);
        assert_memory_equal(other.hidden, first.hidden, first.hidden_len);
    }
    assert_true(user_record_decode(&back, &room, first.body, first.body_len, first.hidden,
                                   first.hidden_len));
    for (size_t i = 1; i < KEYS; i++) {
        const struct user_text a = back.labels[i - 1].key, b = back.labels[i].key;
        const int order = memcmp(a.data, b.data, a.len < b.len ? a.len : b.len);
        assert_true(order < 0 || (order == 0 && a.len < b.len));
    }
}

static void create_time_is_within_its_bounds(void **state)
{
    struct user_fields fields = {.created_at = 1};
    (void)state;
    assert_int_equal(user_create_time(&fields), 1000000000);
    fields.created_at = INT64_MAX;
    assert_int_equal(user_create_time(&fields), INT64_MAX);
    fields.created_at = INT64_MIN;
    assert_int_equal(user_create_time(&fields), INT64_MIN);
    fields.created_at = -9223372036;
    assert_int_equal(user_create_time(&fields), INT64_C(-9223372036000000000));
}

/* ---- damage ---- */

/* Decodes a copy that has exactly these bytes, so that valgrind and ASan find a read past them. */
static bool decode_exact(struct user_record *record, struct user_record_room *room,
                         const void *hidden, size_t len)
{
    static uint8_t *copy;
    free(copy);
    copy = malloc(len + (len == 0));
    memcpy(copy, hidden, len);
    return user_record_decode(record, room, (const uint8_t *)"\x12\x01x", 3, copy, len);
}

#define ASSERT_REFUSED(literal)                                                                    \
    assert_false(decode_exact(&record, &room, literal, sizeof(literal) - 1))
#define ASSERT_READ(literal) assert_true(decode_exact(&record, &room, literal, sizeof(literal) - 1))

static void damaged_hidden_part_is_refused(void **state)
{
    struct user_record record;
    struct user_record_room room;
    (void)state;
    ASSERT_REFUSED("\x08");
    ASSERT_REFUSED("\x11\x01\x02\x03\x04\x05\x06\x07");
    ASSERT_REFUSED("\x1a\x05\x0a\x01k");
    ASSERT_REFUSED("\x1a\x02\x0a\x01");            /* the key is longer than its label */
    ASSERT_REFUSED("\x1a\x04\x0a\x01k\x12");       /* the label ends inside of a field */
    ASSERT_REFUSED("\x1a\x04\x0a\x7fkk\x0a\x01k"); /* ... even if the part goes on */
    ASSERT_REFUSED("\x22\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01x");
    ASSERT_REFUSED("\x22\x01x\x80");
    assert_false(user_record_decode(&record, &room, (const uint8_t *)"\x12", 1, NULL, 0));
}

static void unknown_fields_are_skipped(void **state)
{
    struct user_record record;
    struct user_record_room room;
    (void)state;
    ASSERT_READ("\x08\x01\x1a\x09\x0a\x01k\x12\x01v\x1a\x01w\x22\x01s\x28\x01\x32\x01x\x0d\x01\x02"
                "\x03\x04");
    assert_true(record.disabled);
    assert_int_equal(record.num_labels, 1);
    assert_text_equal(record.labels[0].value, text_of_string("v"));
    assert_text_equal(record.secret, text_of_string("s"));
    ASSERT_READ("");
    assert_false(record.disabled);
    assert_int_equal(record.update_time, 0);
}

static void more_than_32_labels_are_refused(void **state)
{
    struct user_record record;
    struct user_record_room room;
    uint8_t hidden[5 * (USER_LABELS_MAX + 1)];
    (void)state;
    for (size_t i = 0; i <= USER_LABELS_MAX; i++)
        memcpy(hidden + 5 * i, "\x1a\x03\x0a\x01k", 5);
    assert_true(decode_exact(&record, &room, hidden, 5 * USER_LABELS_MAX));
    assert_int_equal(record.num_labels, USER_LABELS_MAX);
    assert_false(decode_exact(&record, &room, hidden, sizeof(hidden)));
}

/* Changes each byte to each value and cuts the part everywhere. Sanitizers find what is read out of
 * bounds, and what is decoded must be encodable. */
static void damage_anywhere_stays_inside(void **state)
{
    static const struct user_label labels[] = {{.key = TEXT("a"), .value = TEXT("1")},
                                               {.key = TEXT("b"), .value = TEXT("")}};
    struct user_record record = plain_record(), back;
    struct user_record_room room;
    struct stored_user stored;
    (void)state;
    record.disabled = true;
    record.update_time = 5;
    record.labels = labels;
    record.num_labels = 2;
    record.secret = text_of_string("$2b$");
    store_user(&stored, &record);
    for (size_t at = 0; at < stored.hidden_len; at++) {
        const uint8_t before = stored.hidden[at];
        for (unsigned value = 0; value < 256; value++) {
            stored.hidden[at] = (uint8_t)value;
            for (size_t len = at + 1; len <= stored.hidden_len; len++) {
                uint8_t out[USER_HIDDEN_MAX];
                if (decode_exact(&back, &room, stored.hidden, len))
                    assert_true(user_hidden_encode(out, &back) <= len + 9);
            }
        }
        stored.hidden[at] = before;
    }
}

static int fill_letters(void **state)
{
    (void)state;
    memset(letters, 'x', sizeof(letters));
    memset(email, 'x', sizeof(email));
    email[1] = '@';
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_field_is_checked),
        cmocka_unit_test(secret_is_at_most_512_visible_characters),
        cmocka_unit_test(body_and_hidden_part_have_4000_bytes_together),
        cmocka_unit_test(last_byte_that_fits_is_found),
        cmocka_unit_test(record_is_as_large_as_the_store_takes),
        cmocka_unit_test(hidden_part_is_encoded_as_protobuf_c_does),
        cmocka_unit_test(user_that_was_only_created_has_no_hidden_part),
        cmocka_unit_test(longest_hidden_part_fits_its_bound),
        cmocka_unit_test(labels_in_any_order_are_the_same_bytes),
        cmocka_unit_test(create_time_is_within_its_bounds),
        cmocka_unit_test(damaged_hidden_part_is_refused),
        cmocka_unit_test(unknown_fields_are_skipped),
        cmocka_unit_test(more_than_32_labels_are_refused),
        cmocka_unit_test(damage_anywhere_stays_inside),
    };
    return cmocka_run_group_tests_name("user_record", tests, fill_letters, NULL);
}
