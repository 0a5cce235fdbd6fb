/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/utf8.h"

/* The definition of RFC 3629, the slow way: decodes each character, then checks its number and the
 * length that the number needs. */
static bool utf8_by_numbers(const uint8_t *s, size_t len)
{
    for (size_t i = 0; i < len;) {
        unsigned n = s[i] < 0x80       ? 1
                     : s[i] >> 5 == 6  ? 2
                     : s[i] >> 4 == 14 ? 3
                     : s[i] >> 3 == 30 ? 4
                                       : 0;
        if (n == 0 || n > len - i)
            return false;
        uint32_t c = n == 1 ? s[i] : s[i] & (0x7fu >> n);
        for (unsigned k = 1; k < n; k++) {
            if (s[i + k] >> 6 != 2)
                return false;
            c = c << 6 | (s[i + k] & 0x3f);
        }
        unsigned needs = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
        if (needs != n || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
            return false;
        i += n;
    }
    return true;
}

static void utf8_agrees_with_the_definition_on_all_short_texts(void **state)
{
    static const uint8_t tails[] = {0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xff};
    uint8_t s[4];
    (void)state;
    for (unsigned a = 0; a < 256; a++) {
        for (unsigned b = 0; b < 256; b++) {
            s[0] = (uint8_t)a;
            s[1] = (uint8_t)b;
            assert_int_equal(utf8_valid(s, 1), utf8_by_numbers(s, 1));
            assert_int_equal(utf8_valid(s, 2), utf8_by_numbers(s, 2));
            for (size_t c = 0; c < sizeof(tails); c++) {
                s[2] = tails[c];
                assert_int_equal(utf8_valid(s, 3), utf8_by_numbers(s, 3));
                for (size_t d = 0; d < sizeof(tails); d++) {
                    s[3] = tails[d];
                    assert_int_equal(utf8_valid(s, 4), utf8_by_numbers(s, 4));
                }
            }
        }
    }
}

static void utf8_sees_a_bad_byte_at_every_place(void **state)
{
    uint8_t text[40];
    (void)state;
    assert_true(utf8_valid(NULL, 0));
    for (size_t len = 1; len <= sizeof(text); len++) {
        for (size_t at = 0; at < len; at++) {
            memset(text, 'a', len);
            assert_true(utf8_valid(text, len));
            text[at] = 0xff;
            assert_false(utf8_valid(text, len));
            text[at] = 0xc3;
            assert_false(utf8_valid(text, len));
            if (at + 1 < len) {
                text[at + 1] = 0xa9;
                assert_true(utf8_valid(text, len));
            }
        }
    }
}

static size_t utf8_encode(uint8_t out[4], uint32_t code)
{
    static const uint8_t leads[] = {0, 0, 0xc0, 0xe0, 0xf0};
    size_t len = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i != 0; i--, code >>= 6)
        out[i] = (uint8_t)(0x80 | (code & 0x3f));
    out[0] = (uint8_t)(leads[len] | code);
    return len;
}

/* Long texts are checked in two halves, and characters lie across every border. */
static void utf8_of_long_texts_agrees_with_the_definition(void **state)
{
    static const char *const pieces[] = {"a", "\xc3\xa9", "\xe6\x97\xa5", "\xf0\x9f\x98\x80"};
    static uint8_t text[4200];
    (void)state;
    srand(7);
    for (size_t round = 0; round < 400; round++) {
        size_t len = 0, whole = (size_t)(1000 + rand() % 3000), only = (size_t)rand() % 8;
        while (len < whole) {
            const char *piece = pieces[only < 4 ? only : (size_t)rand() % 4];
            memcpy(text + len, piece, strlen(piece));
            len += strlen(piece);
        }
        assert_true(utf8_valid(text, len));
        size_t bad = (size_t)rand() % len, cut = len - (size_t)rand() % 4;
        assert_int_equal(utf8_valid(text, cut), utf8_by_numbers(text, cut));
        text[bad] = (uint8_t)rand();
        assert_int_equal(utf8_valid(text, len), utf8_by_numbers(text, len));
        text[len / 2 - (size_t)rand() % 4] = (uint8_t)rand();
        assert_int_equal(utf8_valid(text, len), utf8_by_numbers(text, len));
    }
    memset(text, 0x80, sizeof(text)); /* no character begins */
    assert_false(utf8_valid(text, sizeof(text)));
}

static void utf8_character_is_read_as_its_number(void **state)
{
    uint8_t text[4];
    uint32_t code;
    (void)state;
    for (uint32_t expected = 0; expected <= 0x10ffff; expected++) {
        size_t len = utf8_encode(text, expected);
        bool surrogate = expected >= 0xd800 && expected <= 0xdfff;
        assert_int_equal(utf8_next(text, len, &code), surrogate ? 0 : len);
        if (!surrogate)
            assert_int_equal(code, expected);
        if (len > 1) /* cut off */
            assert_int_equal(utf8_next(text, len - 1, &code), 0);
    }
}

static void utf8_is_cut_between_characters(void **state)
{
    (void)state;
    assert_int_equal(utf8_cut("abc", 3, 5), 3);
    assert_int_equal(utf8_cut("abcd", 4, 3), 3);
    assert_int_equal(utf8_cut("a\xc3\xa9z", 4, 2), 1);
    assert_int_equal(utf8_cut("a\xc3\xa9z", 4, 3), 3);
    assert_int_equal(utf8_cut("\xf0\x9f\x98\x80", 4, 3), 0);
}

static void expect_lossy(const char *text, size_t len, size_t used, uint32_t code)
{
    uint32_t read = 0;
    assert_int_equal(utf8_next_lossy((const uint8_t *)text, len, &read), used);
    assert_int_equal(read, code);
}

/* The examples of Unicode 3.9, tables 3-8 to 3-11, and the ends of texts. */
static void utf8_replaces_each_maximal_subpart_once(void **state)
{
    (void)state;
    expect_lossy("a\xff", 2, 1, 'a');
    expect_lossy("\xe6\x97\xa5", 3, 3, 0x65e5);
    expect_lossy("\xef\xbf\xbd", 3, 3, UTF8_REPLACEMENT);
    expect_lossy("\xc0\xaf", 2, 1, UTF8_REPLACEMENT);
    expect_lossy("\x80", 1, 1, UTF8_REPLACEMENT);
    expect_lossy("\xe0\x80\xbf", 3, 1, UTF8_REPLACEMENT);
    expect_lossy("\xed\xa0\x80", 3, 1, UTF8_REPLACEMENT);
    expect_lossy("\xf4\x91\x92\x93", 4, 1, UTF8_REPLACEMENT);
    expect_lossy("\xf0\x91\x92\x41", 4, 3, UTF8_REPLACEMENT);
    expect_lossy("\xe1\x80\xe2", 3, 2, UTF8_REPLACEMENT);
    expect_lossy("\xf0\x9f\x98\x80", 3, 3, UTF8_REPLACEMENT);
    expect_lossy("\xf0\x9f\x98\x80", 1, 1, UTF8_REPLACEMENT);
}

static void utf8_knows_characters_that_control_the_display(void **state)
{
    static const uint32_t bad[] = {0,      '\n',   0x1b,   0x7f,   0x9b,
                                   0x200e, 0x2028, 0x202e, 0x2066, 0xfeff};
    static const uint32_t good[] = {' ', '~', 0xa0, 0xe9, 0x65e5, 0x2010, 0x202f, 0xfffd, 0x1f600};
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_true(utf8_steers(bad[i]));
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_false(utf8_steers(good[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(utf8_agrees_with_the_definition_on_all_short_texts),
        cmocka_unit_test(utf8_sees_a_bad_byte_at_every_place),
        cmocka_unit_test(utf8_of_long_texts_agrees_with_the_definition),
        cmocka_unit_test(utf8_character_is_read_as_its_number),
        cmocka_unit_test(utf8_is_cut_between_characters),
        cmocka_unit_test(utf8_replaces_each_maximal_subpart_once),
        cmocka_unit_test(utf8_knows_characters_that_control_the_display),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
