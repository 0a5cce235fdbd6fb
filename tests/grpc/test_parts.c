/* SPDX-License-Identifier: MIT */
/* The small parts: arena, timeout, percent-encoding, base64, UTF-8, names of statuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/base64.h"
#include "base/percent.h"
#include "base/utf8.h"
#include "grpc/arena.h"
#include "grpc/status.h"
#include "grpc/timeout.h"

static void arena_hands_out_aligned_memory_that_does_not_overlap(void **state)
{
    _Alignas(16) uint8_t first[100];
    uint8_t *given[500];
    struct grpc_arena arena;

    (void)state;
    grpc_arena_init(&arena, first, sizeof(first));
    for (size_t i = 0; i < 500; i++) {
        given[i] = grpc_arena_alloc(&arena, i * 3);
        assert_non_null(given[i]);
        assert_int_equal((uintptr_t)given[i] % GRPC_ARENA_ALIGN, 0);
        memset(given[i], (int)(i & 0xff), i * 3);
    }
    assert_ptr_equal(given[1], first);
    for (size_t i = 0; i < 500; i++) {
        for (size_t j = 0; j < i * 3; j++)
            assert_int_equal(given[i][j], i & 0xff);
    }
    grpc_arena_clear(&arena, false);
    assert_null(arena.blocks);
    assert_ptr_equal(grpc_arena_alloc(&arena, 1), first);
    grpc_arena_clear(&arena, false);
}

static void arena_wipes_what_it_handed_out(void **state)
{
    _Alignas(16) uint8_t first[64];
    struct grpc_arena arena;

    (void)state;
    grpc_arena_init(&arena, first, sizeof(first));
    memset(grpc_arena_alloc(&arena, 33), 'x', 33);
    memset(grpc_arena_alloc(&arena, 3000), 'x', 3000); /* a sanitizer finds a wipe past its end */
    grpc_arena_clear(&arena, true);
    for (size_t i = 0; i < 33; i++)
        assert_int_equal(first[i], 0);
}

static void arena_without_memory_says_so(void **state)
{
    struct grpc_arena arena;

    (void)state;
    grpc_arena_init(&arena, NULL, 0);
    assert_non_null(grpc_arena_alloc(&arena, 0));
    assert_null(grpc_arena_alloc(&arena, SIZE_MAX - 8));
    assert_non_null(grpc_arena_alloc(&arena, 40)); /* it still serves what there is memory for */
    grpc_arena_clear(&arena, false);
}

static void timeout_takes_each_unit_and_rounds_up(void **state)
{
    static const struct {
        const char *text;
        uint64_t ms;
    } good[] = {{"1H", 3600000},  {"2M", 120000},
                {"3S", 3000},     {"4m", 4},
                {"1u", 1},        {"1000u", 1},
                {"1001u", 2},     {"1n", 1},
                {"1000001n", 2},  {"0n", 0},
                {"0H", 0},        {"00000000S", 0},
                {"00000001m", 1}, {"99999999H", UINT64_C(99999999) * 3600000}};

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        uint64_t ms = 12345;
        assert_true(grpc_timeout_parse(good[i].text, strlen(good[i].text), &ms));
        assert_int_equal(ms, good[i].ms);
    }
}

static void timeout_refuses_what_is_malformed(void **state)
{
    static const char *const bad[] = {"",    "S",   "1",   "1s",   "1h",   "-1S",
                                      "+1S", " 1S", "1S ", "1.5S", "0x1S", "123456789S",
                                      "1SS", "1 S", "m1",  "inf"};
    uint64_t ms;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(grpc_timeout_parse(bad[i], strlen(bad[i]), &ms));
    assert_false(grpc_timeout_parse("1\0S", 3, &ms));
}

static void expect_percent(const char *text, size_t len, const char *encoded)
{
    char to[64];

    assert_int_equal(percent_length(text, len), strlen(encoded));
    assert_ptr_equal(percent_encode(to, text, len), to + strlen(encoded));
    assert_memory_equal(to, encoded, strlen(encoded));
}

static void percent_encodes_only_what_it_must(void **state)
{
    (void)state;
    expect_percent("", 0, "");
    expect_percent(" ~!$&", 5, " ~!$&");
    expect_percent("100%", 4, "100%25");
    expect_percent("a\nb\x7f", 4, "a%0Ab%7F");
    expect_percent("\0\x1f", 2, "%00%1F");
    expect_percent("\xc3\xa9\xff", 3, "%C3%A9%FF");
}

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
        text[text_len] = '!'; /* the encoder stops before it */
        base64_encode(text, bytes, len);
        assert_int_equal(text[text_len], '!');
        assert_true(base64_decoded_max(text_len) <= sizeof(back));
        assert_true(base64_decode(back, &back_len, text, text_len));
        assert_int_equal(back_len, len);
        assert_memory_equal(back, bytes, len);
    }
}

/** What RFC 3629 says, the slow way: decode, then look at the number and the length it needs. */
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

static size_t encode(uint8_t out[4], uint32_t code)
{
    static const uint8_t leads[] = {0, 0, 0xc0, 0xe0, 0xf0};
    size_t len = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i != 0; i--, code >>= 6)
        out[i] = (uint8_t)(0x80 | (code & 0x3f));
    out[0] = (uint8_t)(leads[len] | code);
    return len;
}

/** Long texts are looked at in two halves: characters lie across every border. */
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
        size_t len = encode(text, expected);
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

static void statuses_have_the_dashboards_names(void **state)
{
    (void)state;
    assert_string_equal(grpc_status_name(GRPC_OK), "OK");
    assert_string_equal(grpc_status_name(GRPC_CANCELLED), "Cancelled");
    assert_string_equal(grpc_status_name(GRPC_NOT_FOUND), "NotFound");
    assert_string_equal(grpc_status_name(GRPC_UNAUTHENTICATED), "Unauthenticated");
    for (int i = 0; i < GRPC_NUM_STATUSES; i++)
        assert_non_null(grpc_status_name((enum grpc_status)i));
    assert_string_equal(grpc_status_name((enum grpc_status)17), "Unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena_hands_out_aligned_memory_that_does_not_overlap),
        cmocka_unit_test(arena_wipes_what_it_handed_out),
        cmocka_unit_test(arena_without_memory_says_so),
        cmocka_unit_test(timeout_takes_each_unit_and_rounds_up),
        cmocka_unit_test(timeout_refuses_what_is_malformed),
        cmocka_unit_test(percent_encodes_only_what_it_must),
        cmocka_unit_test(base64_takes_padded_and_unpadded),
        cmocka_unit_test(base64_refuses_other_characters_and_lengths),
        cmocka_unit_test(base64_of_any_bytes_comes_back),
        cmocka_unit_test(utf8_agrees_with_the_definition_on_all_short_texts),
        cmocka_unit_test(utf8_sees_a_bad_byte_at_every_place),
        cmocka_unit_test(utf8_of_long_texts_agrees_with_the_definition),
        cmocka_unit_test(utf8_character_is_read_as_its_number),
        cmocka_unit_test(utf8_is_cut_between_characters),
        cmocka_unit_test(statuses_have_the_dashboards_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
