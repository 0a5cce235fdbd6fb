/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "user/etag.h"

static void versions_of_every_length_are_written_as_hexadecimal_numbers(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits < 64; bits++) {
        for (unsigned off = 0; off < 16; off++) {
            uint64_t version =
                (UINT64_C(1) << bits) + (off & (bits < 4 ? 0 : 15)) * UINT64_C(0x0123456789abcdef);
            char expected[32], *text = malloc(USER_ETAG_SIZE);
            size_t len = (size_t)snprintf(expected, sizeof(expected), "\"%" PRIx64 "\"", version);
            uint64_t back;
            assert_int_equal(user_etag_format(text, version), len);
            assert_memory_equal(text, expected, len);
            assert_true(user_etag_parse((uint8_t *)text, len, &back));
            assert_true(back == version);
            free(text);
        }
    }
}

static void other_texts_are_no_etags(void **state)
{
    static const char *const texts[] = {
        "",       "\"",      "\"\"",   "1",       "\"1",
        "1\"",    "\"0\"",   "\"01\"", "\"A\"",   "\"g\"",
        "\"1 \"", "W/\"1\"", "\"-1\"", "\"1\"\"", "\"11112222333344445\"",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        uint64_t version;
        assert_false(user_etag_parse((const uint8_t *)texts[i], strlen(texts[i]), &version));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(versions_of_every_length_are_written_as_hexadecimal_numbers),
        cmocka_unit_test(other_texts_are_no_etags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
