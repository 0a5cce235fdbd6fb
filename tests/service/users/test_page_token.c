/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "service/users/page_token.h"

static const uint8_t id[UUID_SIZE] = {0xff, 0xee, 0xdd, 0xcc, 0xbb, 0xaa, 0x49, 0x88,
                                      0x97, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0x00};

static bool parse(const char *text, size_t len)
{
    uint64_t seq;
    uint8_t back[UUID_SIZE];
    return page_token_parse((const uint8_t *)text, len, 0, &seq, back);
}

static void sequence_number_and_id_come_back(void **state)
{
    (void)state;
    static const uint64_t seqs[] = {1, 255, 256, 1000000, UINT64_C(1) << 40, UINT64_MAX};
    for (size_t i = 0; i < sizeof(seqs) / sizeof(seqs[0]); i++) {
        char text[PAGE_TOKEN_SIZE];
        uint64_t seq = 0;
        uint8_t back[UUID_SIZE] = {0};
        page_token_format(text, 0, seqs[i], id);
        assert_true(page_token_parse((const uint8_t *)text, sizeof(text), 0, &seq, back));
        assert_int_equal(seq, seqs[i]);
        assert_memory_equal(back, id, UUID_SIZE);
    }
}

static void token_is_printable(void **state)
{
    (void)state;
    char text[PAGE_TOKEN_SIZE + 1] = {0};
    page_token_format(text, 0, 12345678901234, id);
    assert_int_equal(strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                  "0123456789-_"),
                     PAGE_TOKEN_SIZE);
}

static void every_changed_character_is_noticed(void **state)
{
    (void)state;
    char text[PAGE_TOKEN_SIZE];
    page_token_format(text, 0, 42, id);
    for (size_t at = 0; at < PAGE_TOKEN_SIZE; at++) {
        char original = text[at];
        for (int c = 0; c < 256; c++) {
            text[at] = (char)c;
            assert_int_equal(parse(text, sizeof(text)), (char)c == original);
        }
        text[at] = original;
    }
}

static void other_lengths_and_garbage_are_refused(void **state)
{
    (void)state;
    char text[PAGE_TOKEN_SIZE + 1];
    page_token_format(text, 0, 42, id);
    text[PAGE_TOKEN_SIZE] = 'A';
    assert_false(parse(text, PAGE_TOKEN_SIZE - 1));
    assert_false(parse(text, PAGE_TOKEN_SIZE + 1));
    assert_false(parse("", 0));
    assert_false(parse("2", 1));
    assert_false(parse("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", PAGE_TOKEN_SIZE));
}

/* A page with another filter, or without one, does not go on with it. */
static void token_is_of_its_filter_alone(void **state)
{
    static const char *const filters[] = {"", "disabled", "disabled = true", "NOT disabled"};
    enum { NUM = sizeof(filters) / sizeof(filters[0]) };
    uint64_t numbers[NUM], seq;
    uint8_t back[UUID_SIZE];
    (void)state;
    for (size_t i = 0; i < NUM; i++)
        numbers[i] = page_token_filter(filters[i], strlen(filters[i]));
    assert_int_equal(numbers[0], 0);
    for (size_t i = 0; i < NUM; i++)
        for (size_t of = 0; of < NUM; of++) {
            char text[PAGE_TOKEN_SIZE];
            page_token_format(text, numbers[of], 42, id);
            assert_int_equal(
                page_token_parse((const uint8_t *)text, sizeof(text), numbers[i], &seq, back),
                i == of);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sequence_number_and_id_come_back),
        cmocka_unit_test(token_is_printable),
        cmocka_unit_test(every_changed_character_is_noticed),
        cmocka_unit_test(other_lengths_and_garbage_are_refused),
        cmocka_unit_test(token_is_of_its_filter_alone),
    };
    return cmocka_run_group_tests_name("page_token", tests, NULL, NULL);
}
