/* SPDX-License-Identifier: MIT */
/* The short ways of user/wire.h do what the long ones do. Every piece of memory has exactly the
 * size that it needs, so the address sanitizer sees what lies outside. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "user/wire.h"

static void copies_of_every_length_are_exact(void **state)
{
    (void)state;
    for (size_t len = 0; len <= 200; len++) {
        uint8_t *from = malloc(len + 1), *to = malloc(len + 2);
        for (size_t i = 0; i <= len; i++)
            from[i] = (uint8_t)(i + 1);
        memset(to, 0xee, len + 2);
        from = realloc(from, len != 0 ? len : 1);
        assert_ptr_equal(wire_copy(to + 1, from, len), to + 1 + len);
        assert_memory_equal(to + 1, from, len);
        assert_int_equal(to[0], 0xee);
        assert_int_equal(to[len + 1], 0xee);
        free(from);
        free(to);
    }
}

/* Reads the first field in both ways. */
static void expect_same(const uint8_t *bytes, size_t len)
{
    uint8_t *exact = malloc(len != 0 ? len : 1);
    struct wire_field one = {0}, other = {0};
    memcpy(exact, bytes, len);
    struct wire_reader fast = {.at = exact, .end = exact + len}, any = fast;
    bool has = wire_next(&fast, &one);
    assert_int_equal(has, wire_next_any(&any, &other));
    assert_ptr_equal(fast.at, any.at);
    if (has) {
        assert_true(one.tag == other.tag && one.value == other.value);
        assert_ptr_equal(one.bytes, other.bytes);
    }
    free(exact);
}

static void varints_of_every_length_are_read_wherever_they_end(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits <= 64; bits++) {
        for (int off = -1; off <= 1; off++) {
            uint8_t bytes[32] = {0x20};
            uint64_t value = (bits < 64 ? UINT64_C(1) << bits : 0) + (uint64_t)(int64_t)off;
            size_t len = (size_t)(wire_put_varint(bytes + 1, value) - bytes);
            struct wire_reader reader = {.at = bytes, .end = bytes + sizeof(bytes)};
            struct wire_field field;
            assert_true(wire_next(&reader, &field));
            assert_true(field.tag == 0x20 && field.value == value && field.bytes == bytes + 1);
            assert_ptr_equal(reader.at, bytes + len);
            for (size_t cut = 0; cut <= sizeof(bytes); cut++)
                expect_same(bytes, cut);
        }
    }
}

static void whatever_stands_there_is_read_alike(void **state)
{
    (void)state;
    uint64_t seed = 1;
    for (unsigned i = 0; i < 200000; i++) {
        uint8_t bytes[16];
        for (size_t at = 0; at < sizeof(bytes); at++) {
            seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            bytes[at] = (uint8_t)(seed >> 56);
        }
        if (i % 2 == 0) /* a field with a number below 16 */
            bytes[0] = (uint8_t)(bytes[0] & 0x7a);
        if (i % 3 == 0)
            bytes[1] &= 0x0f;
        expect_same(bytes, (size_t)(seed >> 32) % (sizeof(bytes) + 1));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_of_every_length_are_exact),
        cmocka_unit_test(varints_of_every_length_are_read_wherever_they_end),
        cmocka_unit_test(whatever_stands_there_is_read_alike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
