/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/base64.h"

static void base64_takes_padded_and_unpadded(void **state)
{
    static const struct {
        const char *text, *bytes;
    } good[] = {{"", ""},           {"Zg==", "f"},         {"Zg", "f"},
                {"Zm8=", "fo"},     {"Zm8", "fo"},         {"Zm9v", "foo"},
                {"Zm9vYg", "foob"}, {"Zm9vYmE=", "fooba"}, {"+/+/", "\xfb\xff\xbf"}};
    uint8_t to[32];
    size_t len;
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(base64_decode(to, &len, good[i].text, strlen(good[i].text)));
        assert_int_equal(len, strlen(good[i].bytes));
        assert_memory_equal(to, good[i].bytes, len);
    }
}

static void base64_refuses_other_characters_and_lengths(void **state)
{
    static const char *const bad[] = {"A",     "Zm9vY",  "=",    "==",   "====", "Z===", "Zg=",
                                      "Zm8==", "Zg==Zg", "Z g=", "Zm9-", "Zm9_", "Zg\n", "Zm=v"};
    uint8_t to[32];
    size_t len;
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(base64_decode(to, &len, bad[i], strlen(bad[i])));
}

static void base64_of_any_bytes_comes_back(void **state)
{
    uint8_t bytes[100], back[110];
    char text[140];
    size_t back_len;
    (void)state;
    srandom(1);
    for (size_t len = 0; len <= sizeof(bytes); len++) {
        for (size_t i = 0; i < len; i++)
            bytes[i] = (uint8_t)random();
        size_t text_len = base64_encoded_length(len);
        text[text_len] = '!'; /* the encoder must not write here */
        base64_encode(text, bytes, len);
        assert_int_equal(text[text_len], '!');
        assert_true(base64_decoded_max(text_len) <= sizeof(back));
        assert_true(base64_decode(back, &back_len, text, text_len));
        assert_int_equal(back_len, len);
        assert_memory_equal(back, bytes, len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64_takes_padded_and_unpadded),
        cmocka_unit_test(base64_refuses_other_characters_and_lengths),
        cmocka_unit_test(base64_of_any_bytes_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
