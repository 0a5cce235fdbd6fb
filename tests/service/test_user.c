/* SPDX-License-Identifier: MIT */
/* Which requests make a user, and that a body is what protobuf-c writes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "service/user.h"

static char letters[4096];

static int fill_letters(void **state)
{
    (void)state;
    memset(letters, 'x', sizeof(letters));
    return 0;
}

static ProtobufCBinaryData bytes(const char *text, size_t len)
{
    return (ProtobufCBinaryData){.len = len, .data = (uint8_t *)text};
}

static ProtobufCBinaryData text(const char *text)
{
    return bytes(text, strlen(text));
}

static Userservice__CreateUserRequest request(const char *username, const char *email)
{
    Userservice__CreateUserRequest request = USERSERVICE__CREATE_USER_REQUEST__INIT;
    request.username = text(username);
    request.email = text(email);
    return request;
}

static void username_is_required(void **state)
{
    (void)state;
    Userservice__CreateUserRequest none = request("", "a@b");
    assert_string_equal(user_check(&none), "username is required");
}

static void username_may_have_255_bytes_and_no_more(void **state)
{
    (void)state;
    Userservice__CreateUserRequest long_one = request("", "");
    long_one.username = bytes(letters, 255);
    assert_null(user_check(&long_one));
    long_one.username = bytes(letters, 256);
    assert_string_equal(user_check(&long_one), "username is longer than 255 bytes");
}

static void nul_in_username_or_email_is_refused(void **state)
{
    (void)state;
    Userservice__CreateUserRequest nul = request("", "");
    nul.username = bytes("a\0b", 3);
    assert_string_equal(user_check(&nul), "username contains U+0000");
    nul.username = text("a");
    nul.email = bytes("a@b\0", 4);
    assert_string_equal(user_check(&nul), "email contains U+0000");
}

static void email_may_be_absent(void **state)
{
    (void)state;
    Userservice__CreateUserRequest no_email = request("alice", "");
    assert_null(user_check(&no_email));
}

static void email_needs_one_at_with_text_on_both_sides(void **state)
{
    (void)state;
    static const char *const good[] = {"a@b", "alice@example.org", "\xc3\xa4@\xc3\xb6"};
    static const char *const bad[] = {"alice", "@", "@b", "a@", "a@b@c", "a@@b", "@a@b", "a@b@"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        Userservice__CreateUserRequest one = request("alice", good[i]);
        assert_null(user_check(&one));
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        Userservice__CreateUserRequest one = request("alice", bad[i]);
        assert_string_equal(user_check(&one), "email must have one @ with text on both sides");
    }
}

static void email_may_have_254_bytes_and_no_more(void **state)
{
    (void)state;
    Userservice__CreateUserRequest one = request("alice", "");
    letters[1] = '@';
    one.email = bytes(letters, 254);
    assert_null(user_check(&one));
    one.email = bytes(letters, 255);
    assert_string_equal(user_check(&one), "email is longer than 254 bytes");
    letters[1] = 'x';
}

static void password_may_have_1024_bytes_and_no_more(void **state)
{
    (void)state;
    Userservice__CreateUserRequest one = request("alice", "");
    one.password = bytes(letters, 1024);
    assert_null(user_check(&one));
    one.password = bytes(letters, 1025);
    assert_string_equal(user_check(&one), "password is longer than 1024 bytes");
}

/* The whole message, as protobuf-c packs it, is the id field and our body. */
static void assert_encoded_as_protobuf_c_does(const Userservice__CreateUserRequest *from,
                                              int64_t created_at)
{
    static const uint8_t id[UUID_SIZE] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0x4d, 0xef,
                                          0x80, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77};
    uint8_t expected[2048], body[USER_BODY_MAX], whole[2048];
    ProtobufCBinaryData role = text("user");
    Userservice__User user = USERSERVICE__USER__INIT;
    user.id = text("01234567-89ab-4def-8011-223344556677");
    user.username = from->username;
    user.email = from->email;
    user.created_at = created_at;
    user.n_roles = 1;
    user.roles = &role;
    size_t expected_len = userservice__user__pack(&user, expected);

    size_t body_len = user_body_encode(body, from, created_at);
    assert_true(body_len <= USER_BODY_MAX);
    user_encode(whole, id, body, body_len);
    assert_int_equal(USER_ID_FIELD_SIZE + body_len, expected_len);
    assert_memory_equal(whole, expected, expected_len);
}

static void user_is_encoded_as_protobuf_c_does(void **state)
{
    (void)state;
    Userservice__CreateUserRequest one = request("alice", "alice@example.org");
    assert_encoded_as_protobuf_c_does(&one, 1795400000);
    one.email = text("");
    assert_encoded_as_protobuf_c_does(&one, 1);
    assert_encoded_as_protobuf_c_does(&one, 0);
    assert_encoded_as_protobuf_c_does(&one, -1);
}

static void longest_user_fits_its_bound(void **state)
{
    (void)state;
    Userservice__CreateUserRequest one = request("", "");
    one.username = bytes(letters, 255);
    one.email = bytes(letters, 254);
    assert_encoded_as_protobuf_c_does(&one, INT64_MIN);
    uint8_t body[USER_BODY_MAX];
    assert_int_equal(user_body_encode(body, &one, INT64_MIN), USER_BODY_MAX);
}

static void length_of_two_bytes_starts_at_128(void **state)
{
    (void)state;
    Userservice__CreateUserRequest one = request("", "");
    for (size_t len = 126; len <= 130; len++) {
        one.username = bytes(letters, len);
        assert_encoded_as_protobuf_c_does(&one, 1795400000);
    }
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
        cmocka_unit_test(password_may_have_1024_bytes_and_no_more),
        cmocka_unit_test(user_is_encoded_as_protobuf_c_does),
        cmocka_unit_test(longest_user_fits_its_bound),
        cmocka_unit_test(length_of_two_bytes_starts_at_128),
    };
    return cmocka_run_group_tests_name("user", tests, fill_letters, NULL);
}
