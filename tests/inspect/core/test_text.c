/* SPDX-License-Identifier: MIT */
/* Text for terminals, and JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "inspect/core/object.h"
#include "inspect/core/text.h"

/* Returns what text_print() prints; the caller frees it. */
static char *printed(const char *bytes, size_t len)
{
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    text_print(out, bytes, len);
    fclose(out);
    return text;
}

static char *printed_json(const char *bytes, size_t len)
{
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    object_print(out, object_new_text(bytes, len));
    fclose(out);
    return text;
}

#define ASSERT_PRINTED(literal, expected)                                                          \
    do {                                                                                           \
        char *text_ = printed(literal, sizeof(literal) - 1);                                       \
        assert_string_equal(text_, expected);                                                      \
        free(text_);                                                                               \
    } while (0)

#define ASSERT_JSON(literal, expected)                                                             \
    do {                                                                                           \
        char *text_ = printed_json(literal, sizeof(literal) - 1);                                  \
        assert_string_equal(text_, expected "\n");                                                 \
        free(text_);                                                                               \
    } while (0)

static void ordinary_text_is_printed_as_it_is(void **state)
{
    (void)state;
    ASSERT_PRINTED("", "");
    ASSERT_PRINTED("Ada Lovelace", "Ada Lovelace");
    ASSERT_PRINTED("Zo\xC3\xAB \xE2\x82\xAC \xF0\x9F\x90\xA7",
                   "Zo\xC3\xAB \xE2\x82\xAC \xF0\x9F\x90\xA7");
    ASSERT_PRINTED("\xEF\xBF\xBD", "\xEF\xBF\xBD");
}

static void what_moves_a_cursor_or_forges_a_line_is_escaped(void **state)
{
    (void)state;
    ASSERT_PRINTED("a\nb\rc\td", "a\\nb\\rc\\td");
    ASSERT_PRINTED("\x1B[2J", "\\x1b[2J");
    ASSERT_PRINTED("a\0b", "a\\x00b");
    ASSERT_PRINTED("\x7F", "\\x7f");
    ASSERT_PRINTED("\xC2\x9B", "\\x9b"); /* CSI as one C1 character */
    ASSERT_PRINTED("\xE2\x80\xAE", "\\u202e");
    ASSERT_PRINTED("\xE2\x80\xA8", "\\u2028");
    ASSERT_PRINTED("a\xE2\x80\x8B"
                   "b",
                   "a\\u200bb"); /* zero width space: invisible */
    ASSERT_PRINTED("\xE2\x80\x8C\xE2\x80\x8D",
                   "\xE2\x80\x8C\xE2\x80\x8D"); /* joiners: parts of names and emoji */
    ASSERT_PRINTED("a\\nb", "a\\\\nb");         /* otherwise it would look like a newline */
}

/* The examples of Unicode 15, table 3-8, and of the text around it. */
static void ill_formed_utf8_is_replaced_by_maximal_subparts(void **state)
{
    (void)state;
#define R "\xEF\xBF\xBD"
    ASSERT_PRINTED("\xFF", R);
    ASSERT_PRINTED("\x80x", R "x");
    ASSERT_PRINTED("\xC0\xAF", R R);             /* overlong */
    ASSERT_PRINTED("\xE0\x80\x80", R R R);       /* overlong */
    ASSERT_PRINTED("\xED\xA0\x80", R R R);       /* a surrogate */
    ASSERT_PRINTED("\xF4\x90\x80\x80", R R R R); /* beyond U+10FFFF */
    ASSERT_PRINTED("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41", R R R R "A");
    ASSERT_PRINTED("\xF0\x9F\x90", R); /* cut off at the end */
    ASSERT_PRINTED("\xE2\x82", R);
#undef R
}

static void json_strings_are_escaped_and_well_formed(void **state)
{
    (void)state;
    ASSERT_JSON("a\"b\\c/d", "\"a\\\"b\\\\c/d\"");
    ASSERT_JSON("a\0b\x1F\n", "\"a\\u0000b\\u001f\\n\"");
    ASSERT_JSON("\x7F\xC2\x9B\xE2\x80\xAE", "\"\\u007f\\u009b\\u202e\"");
    ASSERT_JSON("\xFF\xC3\xAB", "\"\xEF\xBF\xBD\xC3\xAB\"");
    ASSERT_JSON("\xE2\x80\x8C\xE2\x80\x8D", "\"\xE2\x80\x8C\xE2\x80\x8D\"");
    ASSERT_JSON("", "\"\"");
    ASSERT_JSON("Zo\xC3\xAB\x7F"
                "\xEF\xBF\xBD z\xE2\x80\x8B",
                "\"Zo\xC3\xAB\\u007f\xEF\xBF\xBD z\\u200b\"");
}

static void times_outside_of_the_calendar_stay_numbers(void **state)
{
    (void)state;
    static const struct {
        int64_t seconds;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00Z"},          {-1, "1969-12-31T23:59:59Z"},
        {1709164800, "2024-02-29T00:00:00Z"}, {253402300799, "9999-12-31T23:59:59Z"},
        {253402300800, "253402300800"},       {-62167219201, "-62167219201"},
        {INT64_MAX, "9223372036854775807"},   {INT64_MIN, "-9223372036854775808"},
    };
    char text[TEXT_TIME_SIZE];

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        text_format_time(text, cases[i].seconds);
        assert_string_equal(text, cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ordinary_text_is_printed_as_it_is),
        cmocka_unit_test(what_moves_a_cursor_or_forges_a_line_is_escaped),
        cmocka_unit_test(ill_formed_utf8_is_replaced_by_maximal_subparts),
        cmocka_unit_test(json_strings_are_escaped_and_well_formed),
        cmocka_unit_test(times_outside_of_the_calendar_stay_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
