/* SPDX-License-Identifier: MIT */
/* Which texts a user may have, bodies (which must be what protobuf-c writes), and keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/user_service.pb-c.h"
#include "user/user.h"

static char letters[4096];

static int fill_letters(void **state)
{
    (void)state;
    memset(letters, 'x', sizeof(letters));
    return 0;
}

static struct user_text bytes(const char *text, size_t len)
{
    return (struct user_text){.data = (const uint8_t *)text, .len = len};
}

static struct user_text text(const char *text)
{
    return bytes(text, strlen(text));
}

static struct user_fields user(const char *username, const char *email)
{
    return (struct user_fields){.username = text(username), .email = text(email)};
}

/* ---- checks ---- */

/* @return NULL: a user may be like this; otherwise the reason why not */
static const char *reason_against(const struct user_fields *fields)
{
    const char *reason = "not set";
    return user_check(fields, &reason) ? NULL : reason;
}

static void username_is_required(void **state)
{
    (void)state;
    struct user_fields none = user("", "a@b");
    assert_string_equal(reason_against(&none), "username is required");
}

static void username_may_have_255_bytes_and_no_more(void **state)
{
    (void)state;
    struct user_fields long_one = user("", "");
    long_one.username = bytes(letters, 255);
    assert_null(reason_against(&long_one));
    long_one.username = bytes(letters, 256);
    assert_string_equal(reason_against(&long_one), "username is longer than 255 bytes");
}

static void nul_in_username_or_email_is_refused(void **state)
{
    (void)state;
    struct user_fields nul = user("", "");
    nul.username = bytes("a\0b", 3);
    assert_string_equal(reason_against(&nul), "username contains U+0000");
    nul.username = text("a");
    nul.email = bytes("a@b\0", 4);
    assert_string_equal(reason_against(&nul), "email contains U+0000");
}

static void email_may_be_absent(void **state)
{
    (void)state;
    struct user_fields no_email = user("alice", "");
    assert_null(reason_against(&no_email));
}

static void email_needs_one_at_with_text_on_both_sides(void **state)
{
    (void)state;
    static const char *const good[] = {"a@b", "alice@example.org", "\xc3\xa4@\xc3\xb6"};
    static const char *const bad[] = {"alice", "@", "@b", "a@", "a@b@c", "a@@b", "@a@b", "a@b@"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct user_fields one = user("alice", good[i]);
        assert_null(reason_against(&one));
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct user_fields one = user("alice", bad[i]);
        assert_string_equal(reason_against(&one), "email must have one @ with text on both sides");
    }
}

static void email_may_have_254_bytes_and_no_more(void **state)
{
    (void)state;
    struct user_fields one = user("alice", "");
    letters[1] = '@';
    one.email = bytes(letters, 254);
    assert_null(reason_against(&one));
    one.email = bytes(letters, 255);
    assert_string_equal(reason_against(&one), "email is longer than 254 bytes");
    letters[1] = 'x';
}

static const char *check_roles(const struct user_text *roles, size_t num_roles)
{
    struct user_fields one = {.roles = roles, .num_roles = num_roles};
    const char *reason = "not set";
    return user_check_roles(&one, &reason) ? NULL : reason;
}

static const char *check_role(struct user_text role)
{
    return check_roles(&role, 1);
}

static void role_has_1_to_64_bytes_without_comma_or_control_character(void **state)
{
    (void)state;
    assert_null(check_roles(NULL, 0));
    assert_null(check_role(text("user")));
    assert_null(check_role(text("R\xc3\xa4tin \xe2\x80\x9cx\xe2\x80\x9d")));
    assert_null(check_role(bytes(letters, 64)));
    assert_string_equal(check_role(bytes(letters, 65)), "a role is longer than 64 bytes");
    assert_string_equal(check_role(text("")), "a role is empty");
    static const char *const bad[] = {"a,b", ",", "a\n", "\x1b[m", "\x7f"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_string_equal(check_role(text(bad[i])),
                            "a role contains a comma or a control character");
    assert_string_equal(check_role(bytes("a\0", 2)),
                        "a role contains a comma or a control character");
}

static void user_may_have_32_different_roles_and_no_more(void **state)
{
    (void)state;
    struct user_text roles[USER_ROLES_MAX + 1];
    for (size_t i = 0; i <= USER_ROLES_MAX; i++)
        roles[i] = bytes(letters, i + 1);
    assert_null(check_roles(roles, USER_ROLES_MAX));
    assert_string_equal(check_roles(roles, USER_ROLES_MAX + 1), "there are more than 32 roles");
    roles[7] = roles[3];
    assert_string_equal(check_roles(roles, USER_ROLES_MAX), "a role is named twice");
}

/* ---- bodies ---- */

static ProtobufCBinaryData packed(struct user_text text)
{
    return (ProtobufCBinaryData){.len = text.len, .data = (uint8_t *)text.data};
}

/* Asserts that id field and body together are the message that protobuf-c packs, and that decoding
 * and encoding the body again gives the same bytes. */
static void assert_encoded_as_protobuf_c_does(const struct user_fields *from)
{
    static const uint8_t id[UUID_SIZE] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0x4d, 0xef,
                                          0x80, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77};
    uint8_t expected[4096], body[USER_BODY_MAX], whole[4096];
    ProtobufCBinaryData roles[USER_ROLES_MAX];
    for (size_t i = 0; i < from->num_roles; i++)
        roles[i] = packed(from->roles[i]);
    Userservice__User message = USERSERVICE__USER__INIT;
    message.id = packed(text("01234567-89ab-4def-8011-223344556677"));
    message.username = packed(from->username);
    message.email = packed(from->email);
    message.created_at = from->created_at;
    message.n_roles = from->num_roles;
    message.roles = roles;
    size_t expected_len = userservice__user__pack(&message, expected);

    size_t body_len = user_body_encode(body, from);
    assert_true(body_len <= USER_BODY_MAX);
    user_encode(whole, id, body, body_len);
    assert_int_equal(USER_ID_FIELD_SIZE + body_len, expected_len);
    assert_memory_equal(whole, expected, expected_len);

    struct user_fields back;
    struct user_text back_roles[USER_ROLES_MAX];
    uint8_t again[USER_BODY_MAX];
    assert_true(user_body_decode(&back, back_roles, body, body_len));
    assert_int_equal(back.created_at, from->created_at);
    assert_int_equal(back.num_roles, from->num_roles);
    assert_int_equal(user_body_encode(again, &back), body_len);
    assert_memory_equal(again, body, body_len);
}

static void user_is_encoded_as_protobuf_c_does(void **state)
{
    (void)state;
    struct user_text roles[] = {text("user"), text("admin"), text("\xc3\xa4")};
    struct user_fields one = user("alice", "alice@example.org");
    one.roles = roles;
    for (one.num_roles = 0; one.num_roles <= 3; one.num_roles++) {
        one.created_at = 1795400000;
        one.email = text("alice@example.org");
        assert_encoded_as_protobuf_c_does(&one);
        one.email = text("");
        for (one.created_at = -1; one.created_at <= 1; one.created_at++)
            assert_encoded_as_protobuf_c_does(&one);
    }
}

static void longest_user_fits_its_bound(void **state)
{
    (void)state;
    struct user_text roles[USER_ROLES_MAX];
    struct user_fields one = {.username = bytes(letters, 255),
                              .email = bytes(letters, 254),
                              .created_at = INT64_MIN,
                              .roles = roles};
    uint8_t body[USER_BODY_MAX];
    assert_int_equal(user_body_encode(body, &one), USER_BODY_NO_ROLES_MAX);
    for (; one.num_roles < USER_ROLES_MAX; one.num_roles++)
        roles[one.num_roles] = bytes(letters, USER_ROLE_MAX);
    assert_encoded_as_protobuf_c_does(&one);
    assert_int_equal(user_body_encode(body, &one), USER_BODY_MAX);
}

static void length_of_two_bytes_starts_at_128(void **state)
{
    (void)state;
    struct user_fields one = {.created_at = 1795400000};
    for (size_t len = 126; len <= 130; len++) {
        one.username = bytes(letters, len);
        assert_encoded_as_protobuf_c_does(&one);
    }
}

/* Decodes a copy that has exactly these bytes, so that valgrind and ASan find a read past them. */
static bool decode_exact(struct user_fields *fields, struct user_text *roles, const uint8_t *body,
                         size_t len)
{
    static uint8_t *copy;
    free(copy);
    copy = malloc(len);
    memcpy(copy, body, len);
    return user_body_decode(fields, roles, copy, len);
}

static void body_that_ends_inside_a_field_is_refused(void **state)
{
    (void)state;
    struct user_text roles[USER_ROLES_MAX], role = text("user");
    struct user_fields one = user("alice", "alice@example.org"), back;
    one.created_at = 1795400000;
    one.roles = &role;
    one.num_roles = 1;
    uint8_t body[USER_BODY_MAX];
    size_t len = user_body_encode(body, &one), whole = 0;
    for (size_t cut = 1; cut < len; cut++)
        whole += decode_exact(&back, roles, body, cut);
    assert_int_equal(whole, 3); /* the cuts that fall between two fields */
}

#define ASSERT_REFUSED(literal)                                                                    \
    assert_false(decode_exact(&fields, roles, (const uint8_t *)(literal), sizeof(literal) - 1))
#define ASSERT_READ(literal)                                                                       \
    assert_true(decode_exact(&fields, roles, (const uint8_t *)(literal), sizeof(literal) - 1))

static void damaged_body_is_refused(void **state)
{
    (void)state;
    struct user_text roles[USER_ROLES_MAX];
    struct user_fields fields;
    ASSERT_REFUSED("\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01x");    /* a length of 2^64 - 1 */
    ASSERT_REFUSED("\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02x");    /* a length of more */
    ASSERT_REFUSED("\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"); /* eleven bytes */
    ASSERT_REFUSED("\x02\x01x");                                        /* field 0 */
    ASSERT_REFUSED("\x13");                                             /* a group */
    ASSERT_REFUSED("\x17");                                             /* wire type 7 */
    ASSERT_REFUSED("\x12\x02x");
    ASSERT_REFUSED("\x39\x01\x02\x03\x04\x05\x06\x07");
    ASSERT_REFUSED("\x3d\x01\x02\x03");
    ASSERT_REFUSED("\x12\x01x\x80");
}

static void unknown_fields_are_skipped(void **state)
{
    (void)state;
    struct user_text roles[USER_ROLES_MAX];
    struct user_fields fields;
    ASSERT_READ("\x12\x01x\x39\x01\x02\x03\x04\x05\x06\x07\x08\x3d\x01\x02\x03\x04\x38\xff\x01"
                "\x3a\x02yy\x2a\x01z");
    assert_int_equal(fields.username.len, 1);
    assert_int_equal(fields.num_roles, 1);
    assert_int_equal(roles[0].data[0], 'z');
}

static void more_than_32_roles_are_refused(void **state)
{
    (void)state;
    struct user_text roles[USER_ROLES_MAX];
    struct user_fields fields;
    uint8_t body[3 * (USER_ROLES_MAX + 1)];
    for (size_t i = 0; i <= USER_ROLES_MAX; i++)
        memcpy(body + 3 * i, "\x2a\x01r", 3);
    assert_true(user_body_decode(&fields, roles, body, 3 * USER_ROLES_MAX));
    assert_false(user_body_decode(&fields, roles, body, sizeof(body)));
}

/* ---- keys ---- */

static void assert_key(unsigned key, const struct user_fields *of, const char *expected)
{
    uint8_t body[USER_BODY_MAX], out[USER_KEY_MAX];
    uint32_t len = user_key_of(key, body, (uint32_t)user_body_encode(body, of), out);
    assert_int_equal(len, strlen(expected));
    assert_memory_equal(out, expected, len);
}

static void key_of_a_username_is_its_bytes(void **state)
{
    (void)state;
    struct user_fields one = user("Alice@Example.ORG", "a@b");
    assert_key(USER_KEY_USERNAME, &one, "Alice@Example.ORG");
    one.username = text("\xc3\x84");
    assert_key(USER_KEY_USERNAME, &one, "\xc3\x84");
}

static void key_of_an_email_folds_the_domain_alone(void **state)
{
    (void)state;
    struct user_fields one = user("Alice", "Alice.X@Mail.Example.ORG");
    assert_key(USER_KEY_EMAIL, &one, "Alice.X@mail.example.org");
    one.email = text("A@B-[Z]\xc3\x84_");
    assert_key(USER_KEY_EMAIL, &one, "A@b-[z]\xc3\x84_");
    one.email = text("");
    assert_key(USER_KEY_EMAIL, &one, "");
}

static void longest_username_and_email_have_keys(void **state)
{
    (void)state;
    uint8_t body[USER_BODY_MAX], out[USER_KEY_MAX];
    letters[1] = '@';
    struct user_fields one = {.username = bytes(letters, 255), .email = bytes(letters, 254)};
    uint32_t len = (uint32_t)user_body_encode(body, &one);
    assert_int_equal(user_key_of(USER_KEY_USERNAME, body, len, out), 255);
    assert_int_equal(user_key_of(USER_KEY_EMAIL, body, len, out), 254);
    letters[1] = 'x';
}

static void key_of_a_text_is_the_key_of_its_user(void **state)
{
    (void)state;
    uint8_t out[USER_KEY_MAX];
    assert_int_equal(user_key_of_text(USER_KEY_EMAIL, text("A@B.C"), out), 5);
    assert_memory_equal(out, "A@b.c", 5);
    assert_int_equal(user_key_of_text(USER_KEY_USERNAME, text("A@B.C"), out), 5);
    assert_memory_equal(out, "A@B.C", 5);
    assert_int_equal(user_key_of_text(USER_KEY_USERNAME, bytes(letters, 257), out), 0);
}

/* Changes every byte of a body to every value, at many lengths. Sanitizers find what is read or
 * written out of bounds. */
static void damaged_body_has_some_key_or_none(void **state)
{
    (void)state;
    struct user_fields one = user("alice", "alice@Example.org");
    one.created_at = 1795400000;
    uint8_t body[USER_BODY_MAX];
    size_t len = user_body_encode(body, &one);
    for (size_t at = 0; at < len; at++) {
        for (unsigned value = 0; value < 256; value++) {
            uint8_t *copy = malloc(len - at / 2), *out = malloc(USER_KEY_MAX);
            memcpy(copy, body, len - at / 2);
            copy[at / 2] = (uint8_t)value;
            for (unsigned key = 0; key < USER_KEYS; key++)
                assert_in_range(user_key_of(key, copy, (uint32_t)(len - at / 2), out), 0,
                                USER_KEY_MAX);
            free(copy);
            free(out);
        }
    }
    uint8_t long_one[4 + 300] = {0x12, 0xac, 0x02}, out[USER_KEY_MAX];
    assert_int_equal(user_key_of(USER_KEY_USERNAME, long_one, sizeof(long_one), out), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(username_is_required),
        cmocka_unit_test(username_may_have_255_bytes_and_no_more),
        cmocka_unit_test(nul_in_username_or_email_is_refused),
        cmocka_unit_test(email_may_be_absent),
        cmocka_unit_test(email_needs_one_at_with_text_on_both_sides),
        cmocka_unit_test(email_may_have_254_bytes_and_no_more),
        cmocka_unit_test(role_has_1_to_64_bytes_without_comma_or_control_character),
        cmocka_unit_test(user_may_have_32_different_roles_and_no_more),
        cmocka_unit_test(user_is_encoded_as_protobuf_c_does),
        cmocka_unit_test(longest_user_fits_its_bound),
        cmocka_unit_test(length_of_two_bytes_starts_at_128),
        cmocka_unit_test(body_that_ends_inside_a_field_is_refused),
        cmocka_unit_test(damaged_body_is_refused),
        cmocka_unit_test(unknown_fields_are_skipped),
        cmocka_unit_test(more_than_32_roles_are_refused),
        cmocka_unit_test(key_of_a_username_is_its_bytes),
        cmocka_unit_test(key_of_an_email_folds_the_domain_alone),
        cmocka_unit_test(longest_username_and_email_have_keys),
        cmocka_unit_test(key_of_a_text_is_the_key_of_its_user),
        cmocka_unit_test(damaged_body_has_some_key_or_none),
    };
    return cmocka_run_group_tests_name("user", tests, fill_letters, NULL);
}
