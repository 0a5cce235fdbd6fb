/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <sys/un.h>

#include "base/address_key.h"

static size_t key_of(const char *text, uint8_t key[ADDRESS_KEY_MAX])
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, text, &in.sin_addr) == 1)
        return address_key((const void *)&in, key);
    assert_int_equal(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
    return address_key((const void *)&in6, key);
}

static bool is_same_client(const char *one, const char *other)
{
    uint8_t a[ADDRESS_KEY_MAX], b[ADDRESS_KEY_MAX];
    size_t len = key_of(one, a);
    assert_true(len == 4 || len == 8);
    return key_of(other, b) == len && memcmp(a, b, len) == 0;
}

static void clients_are_told_apart_by_address_and_by_64(void **state)
{
    (void)state;
    assert_true(is_same_client("192.0.2.1", "::ffff:192.0.2.1"));
    assert_false(is_same_client("192.0.2.1", "192.0.2.2"));
    assert_false(is_same_client("::ffff:192.0.2.1", "::ffff:192.0.2.2"));
    assert_true(is_same_client("2001:db8::1", "2001:db8::ffff:1"));
    assert_false(is_same_client("2001:db8::1", "2001:db8:0:1::1"));
}

static void unix_socket_has_no_key(void **state)
{
    (void)state;
    uint8_t key[ADDRESS_KEY_MAX];
    const struct sockaddr_un un = {.sun_family = AF_UNIX};
    assert_int_equal(address_key((const void *)&un, key), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clients_are_told_apart_by_address_and_by_64),
        cmocka_unit_test(unix_socket_has_no_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
