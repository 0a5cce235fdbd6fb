/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "service/users/user_request.h"

static char letters[2048];

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

static Userservice__CreateUserRequest request(const char *username, const char *email)
{
    Userservice__CreateUserRequest request = USERSERVICE__CREATE_USER_REQUEST__INIT;
    request.username = bytes(username, strlen(username));
    request.email = bytes(email, strlen(email));
    return request;
}

/* @return NULL, or why the request makes no user */
static const char *reason_of(Userservice__CreateUserRequest *request)
{
    const char *reason = NULL;
    return user_request_check(request, &reason) ? NULL : reason;
}

static void what_makes_no_user_is_refused(void **state)
{
    (void)state;
    Userservice__CreateUserRequest good = request("alice", "a@b"), none = request("", "a@b"),
                                   bad = request("alice", "a");
    assert_null(reason_of(&good));
    assert_string_equal(reason_of(&none), "username is required");
    assert_string_equal(reason_of(&bad), "email must have one @ with text on both sides");
}

static void password_may_have_1024_bytes_and_no_more(void **state)
{
    (void)state;
    Userservice__CreateUserRequest one = request("alice", "");
    one.password = bytes(letters, 1024);
    assert_null(reason_of(&one));
    for (size_t i = 0; i < 1024; i++)
        assert_int_equal(letters[i], 0); /* the password is overwritten */
    fill_letters(state);
    one.password = bytes(letters, 1025);
    assert_string_equal(reason_of(&one), "password is longer than 1024 bytes");
    fill_letters(state);
}

static void new_user_has_the_role_user_and_no_password(void **state)
{
    (void)state;
    Userservice__CreateUserRequest one = request("alice", "alice@example.org");
    one.password = bytes("secret", 6);
    uint8_t body[USER_REQUEST_BODY_MAX];
    size_t len = user_request_encode(body, &one, 1795400000);
    Userservice__User *user = userservice__user__unpack(NULL, len, body);
    assert_non_null(user);
    assert_int_equal(user->id.len, 0);
    assert_memory_equal(user->username.data, "alice", 5);
    assert_memory_equal(user->email.data, "alice@example.org", 17);
    assert_int_equal(user->created_at, 1795400000);
    assert_int_equal(user->n_roles, 1);
    assert_int_equal(user->roles[0].len, 4);
    assert_memory_equal(user->roles[0].data, "user", 4);
    userservice__user__free_unpacked(user, NULL);
    assert_null(memmem(body, len, "secret", 6));
}

static void longest_request_fits_its_bound(void **state)
{
    (void)state;
    Userservice__CreateUserRequest one = request("", "");
    one.username = bytes(letters, 255);
    one.email = bytes(letters, 254);
    uint8_t body[USER_REQUEST_BODY_MAX];
    assert_int_equal(user_request_encode(body, &one, INT64_MIN), USER_REQUEST_BODY_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_makes_no_user_is_refused),
        cmocka_unit_test(password_may_have_1024_bytes_and_no_more),
        cmocka_unit_test(new_user_has_the_role_user_and_no_password),
        cmocka_unit_test(longest_request_fits_its_bound),
    };
    return cmocka_run_group_tests_name("user_request", tests, fill_letters, NULL);
}
