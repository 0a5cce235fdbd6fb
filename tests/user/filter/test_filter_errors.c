/* SPDX-License-Identifier: MIT */
/* What is no filter, and what the message says about it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "user/filter/filter.h"

static bool no_memory;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
    return no_memory ? NULL : __real_malloc(size);
}

/* Parses a copy of exactly these bytes, so that ASan finds a read past them. */
static enum filter_result parse(const char *text, size_t len, struct fault *fault)
{
    struct filter *filter;
    char *copy = malloc(len + (len == 0));
    memcpy(copy, text, len);
    *fault = (struct fault){.text = ""};
    enum filter_result result = filter_parse(&filter, copy, len, fault);
    assert_int_equal(filter != NULL, result == FILTER_OK);
    assert_int_equal(fault->text[0] == '\0', result == FILTER_OK);
    free(filter);
    free(copy);
    return result;
}

static void assert_good(const char *text)
{
    struct fault fault;
    if (parse(text, strlen(text), &fault) != FILTER_OK)
        fail_msg("%s: %s", text, fault.text);
}

static void assert_error(const char *text, const char *expected)
{
    struct fault fault;
    if (parse(text, strlen(text), &fault) != FILTER_WRONG)
        fail_msg("%s is a filter", text);
    if (strcmp(fault.text, expected) != 0)
        fail_msg("%s\n  says     %s\n  but must %s", text, fault.text, expected);
}

struct row {
    const char *text, *error;
};

static void assert_errors(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_error(rows[i].text, rows[i].error);
}
#define ASSERT_ERRORS(rows) assert_errors(rows, sizeof(rows) / sizeof(*(rows)))

#define FIELDS                                                                                     \
    "the fields are username, email, roles, labels, disabled, has_password, create_time and "      \
    "update_time"
#define STAR       "an asterisk may only end a text; a text with one is written \"a\\*b\""
#define KEY_QUOTED "a key with a dash, a dot or a slash is quoted: labels.\"a.b/c-d\""
#define KEY_NAME                                                                                   \
    "labels: the name of a key must be of letters, digits, '-', '_' and '.', with a letter or a "  \
    "digit at both ends"

static void fields_must_exist(void **state)
{
    static const struct row rows[] = {
        {"usrname = \"x\"", "position 1: unknown field usrname; did you mean username?"},
        {"disabled AND  createTime > 1",
         "position 15: unknown field createTime; did you mean create_time?"},
        {"Z = 1", "position 1: unknown field Z; " FIELDS},
        {"zzzzzzzz", "position 1: unknown field zzzzzzzz; " FIELDS},
        {"a234567890b234567890c234567890d234567890e234567890 = 1",
         "position 1: unknown field a234567890b234567890c234567890d234567890...; " FIELDS},
        {"len(roles) = 1", "position 1: there is no function len: a filter has none"},
        {"username.first = \"x\"", "position 9: username has no fields"},
        {"roles.0 = \"x\"", "position 6: roles has no fields"},
        {"\"ada\"", "position 1: a field is expected instead of \""},
        {"= \"x\"", "position 1: a field is expected instead of ="},
        {"(AND)", "position 2: a field is expected instead of AND"},
        {"OR disabled", "position 1: a field is expected instead of OR"},
        {"NOT", "position 4: a field is expected, but the filter ends"},
        {"-", "position 2: a field is expected, but the filter ends"},
        {"NOT NOT disabled", "position 5: a field is expected instead of NOT"},
        {"--disabled", "position 2: a field is expected instead of -"},
        {"disabled AND", "position 13: a field is expected, but the filter ends"},
        {"()", "position 2: a field is expected instead of )"},
        {"\x01", "position 1: a field is expected instead of U+0001"},
        {"\xe2\x80\xae", "position 1: a field is expected instead of U+202E"},
        {"\xc3\xa4", "position 1: a field is expected instead of \xc3\xa4"},
    };
    (void)state;
    ASSERT_ERRORS(rows);
}

static void operators_must_fit_the_field(void **state)
{
    static const struct row rows[] = {
        {"username", "position 9: an operator is expected, but the filter ends"},
        {"roles AND disabled", "position 7: an operator is expected instead of AND"},
        {"create_time ~ 1", "position 13: an operator is expected instead of ~"},
        {"labels.team", "position 12: an operator is expected, but the filter ends"},
        {"username < \"x\"", "position 10: < does not apply to username: use = or !="},
        {"email >= \"x\"", "position 7: >= does not apply to email: use = or !="},
        {"disabled > true", "position 10: > does not apply to disabled: use = or !="},
        {"has_password:true", "position 13: : does not apply to has_password: use = or !="},
        {"create_time:2026-01-01T00:00:00Z",
         "position 12: : does not apply to create_time: use =, !=, <, <=, > or >="},
        {"roles = \"admin\"", "position 7: = does not apply to roles: use roles:\"ROLE\""},
        {"labels = \"team\"",
         "position 8: = does not apply to labels: use labels:KEY or labels.KEY = TEXT"},
        {"labels.team <= \"x\"", "position 13: <= does not apply to a label: use =, != or :"},
        {"username:\"ada\"",
         "position 10: username is no list: use username = TEXT, or username:*"},
        {"email:\"a*\"", "position 7: email is no list: use email = TEXT, or email:*"},
        {"username = \"*\"", "position 12: an asterisk alone is compared by the operator : only"},
        {"labels.team != *", "position 16: an asterisk alone is compared by the operator : only"},
    };
    (void)state;
    ASSERT_ERRORS(rows);
}

static void values_must_be_of_the_fields_type(void **state)
{
    static const char time[] =
        "is compared with a time of RFC 3339, for example 2026-01-31T12:00:00Z";
    char expected[200];
    static const struct row rows[] = {
        {"disabled = 1", "position 12: disabled is true or false, without quotes"},
        {"disabled = \"true\"", "position 12: disabled is true or false, without quotes"},
        {"has_password != tru*", "position 17: has_password is true or false, without quotes"},
        {"disabled = True", "position 12: disabled is true or false, without quotes"},
        {"username =", "position 11: a value is expected, but the filter ends"},
        {"username = AND", "position 12: a value is expected instead of AND"},
        {"username = )", "position 12: a value is expected instead of )"},
        {"username == x", "position 11: a value is expected instead of ="},
        {"roles:", "position 7: a value is expected, but the filter ends"},
    };
    static const char *const times[] = {
        "2026-01-01",          "\"yesterday\"",         "2026-02-30T00:00:00Z",
        "2026-01-01T00:00:00", "2026-01-01T00:00:00Z*", "5s"};
    (void)state;
    ASSERT_ERRORS(rows);
    for (size_t i = 0; i < sizeof(times) / sizeof(*times); i++) {
        char text[80];
        snprintf(text, sizeof(text), "update_time >  %s", times[i]);
        snprintf(expected, sizeof(expected), "position 16: update_time %s", time);
        assert_error(text, expected);
    }
}

static void texts_must_be_well_formed(void **state)
{
    static const struct row rows[] = {
        {"username = \"ada", "position 12: the quote is not closed"},
        {"username = 'ada\"", "position 12: the quote is not closed"},
        {"username = \"", "position 12: the quote is not closed"},
        {"username = \"ada\\",
         "position 16: a backslash may only precede a quote, an asterisk or a "
         "backslash"},
        {"username = \"\\n\"",
         "position 13: a backslash may only precede a quote, an asterisk or a "
         "backslash"},
        {"username = \"*a\"", "position 13: " STAR},
        {"username = \"a*b\"", "position 14: " STAR},
        {"username = \"a**\"", "position 14: " STAR},
        {"username = \"a*", "position 14: " STAR},
        {"username = a*b", "position 13: " STAR},
        {"roles:*x", "position 7: " STAR},
    };
    (void)state;
    ASSERT_ERRORS(rows);
    assert_good("username = \"a\\\"\\'\\\\\\*\"");
    assert_good("username = 'a\"b'");
    assert_good("username=a*");
}

static void keys_of_labels_must_be_possible(void **state)
{
    static const struct row rows[] = {
        {"labels.", "position 8: a key is expected, but the filter ends"},
        {"labels. = x", "position 9: a key is expected instead of ="},
        {"labels.a-b = x", "position 8: " KEY_QUOTED},
        {"labels.a.b = x", "position 8: " KEY_QUOTED},
        {"labels.a/b:*", "position 8: " KEY_QUOTED},
        {"labels.\"a*\" = x", "position 8: the key of labels.KEY takes no asterisk"},
        {"labels.\"\" = x", "position 8: labels: a key has no name"},
        {"labels.\"a b\" = x", "position 8: " KEY_NAME},
        {"labels.\"a", "position 8: the quote is not closed"},
        {"labels:\"a/b/c\"", "position 8: " KEY_NAME},
        {"labels:\"A.b/c\"",
         "position 8: labels: the prefix of a key must be a DNS subdomain in lower case"},
    };
    (void)state;
    ASSERT_ERRORS(rows);
    assert_good("labels:\"example.org/*\"");
    assert_good("labels.\"example.org/cost-centre\" = 42");
}

static void brackets_and_operators_must_match(void **state)
{
    static const struct row rows[] = {
        {"(disabled", "position 1: the bracket is not closed"},
        {"disabled AND (has_password OR (disabled)", "position 14: the bracket is not closed"},
        {"disabled)", "position 9: the bracket closes none"},
        {"(disabled))", "position 11: the bracket closes none"},
        {"(disabled has_password)",
         "position 11: AND, OR or ) is expected instead of has_password"},
        {"disabled has_password", "position 10: AND or OR is expected instead of has_password"},
        {"disabled and has_password", "position 10: AND or OR is expected instead of and"},
        {"disabled && has_password", "position 10: AND or OR is expected instead of &"},
        {"username = a\"b\"", "position 13: AND or OR is expected instead of \""},
        {"roles:(a OR b)", "position 7: a value is expected instead of ("},
    };
    (void)state;
    ASSERT_ERRORS(rows);
}

static void not_utf8_is_refused(void **state)
{
    struct fault fault;
    (void)state;
    assert_int_equal(parse("username = \"\xff\"", 14, &fault), FILTER_WRONG);
    assert_string_equal(fault.text, "the filter is not UTF-8");
}

static void nul_is_a_character_like_others(void **state)
{
    struct fault fault;
    (void)state;
    assert_int_equal(parse("username = \"a\0b\"", 16, &fault), FILTER_OK);
    assert_int_equal(parse("username = \"a\\\0\"", 16, &fault), FILTER_WRONG);
    assert_int_equal(parse("disabled\0", 9, &fault), FILTER_WRONG);
    assert_string_equal(fault.text, "position 9: AND or OR is expected instead of U+0000");
    assert_int_equal(parse("username = \0", 12, &fault), FILTER_WRONG);
    assert_string_equal(fault.text, "position 12: a value is expected instead of U+0000");
}

/* ---- bounds ---- */

static void filter_has_at_most_4096_bytes(void **state)
{
    static char text[FILTER_TEXT_MAX + 1];
    struct fault fault;
    (void)state;
    memset(text, ' ', sizeof(text));
    memcpy(text, "disabled", 8);
    assert_int_equal(parse(text, FILTER_TEXT_MAX, &fault), FILTER_OK);
    assert_int_equal(parse(text, FILTER_TEXT_MAX + 1, &fault), FILTER_WRONG);
    assert_string_equal(fault.text, "the filter is longer than 4096 bytes");
    memset(text, 'x', sizeof(text));
    memcpy(text, "roles:", 6);
    assert_int_equal(parse(text, FILTER_TEXT_MAX, &fault), FILTER_OK);
    assert_int_equal(parse(text, FILTER_TEXT_MAX + 1, &fault), FILTER_WRONG);
}

/* Writes "disabled" this many times, with `between` between. @return the bytes */
static size_t repeat(char *text, size_t times, const char *between)
{
    size_t len = 0;
    for (size_t i = 0; i < times; i++)
        len += (size_t)sprintf(text + len, "%sdisabled", i == 0 ? "" : between);
    return len;
}

static void filter_has_at_most_64_tests(void **state)
{
    static char text[FILTER_TEXT_MAX + 1];
    static const char *const between[] = {" AND ", " OR ", " AND -", " OR NOT "};
    struct fault fault;
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(parse(text, repeat(text, 64, between[i]), &fault), FILTER_OK);
        assert_int_equal(parse(text, repeat(text, 65, between[i]), &fault), FILTER_WRONG);
        assert_non_null(strstr(fault.text, ": the filter has more than 64 tests"));
    }
    /* The most nodes that 64 tests can have. */
    size_t len = 0;
    for (size_t i = 0; i < 32; i++)
        len += (size_t)sprintf(text + len, "%s(disabled %s disabled)", i == 0 ? "" : " AND ",
                               i % 2 == 0 ? "AND" : "OR");
    assert_int_equal(parse(text, len, &fault), FILTER_OK);
}

static size_t nest(char *text, size_t depth)
{
    size_t len = 0;
    for (size_t i = 0; i < depth; i++)
        len += (size_t)sprintf(text + len, "%s(", i % 2 == 0 ? "" : "NOT ");
    len += (size_t)sprintf(text + len, "disabled");
    for (size_t i = 0; i < depth; i++)
        text[len++] = ')';
    return len;
}

static void brackets_nest_16_deep(void **state)
{
    static char text[FILTER_TEXT_MAX + 1];
    struct fault fault;
    (void)state;
    assert_int_equal(parse(text, nest(text, 16), &fault), FILTER_OK);
    assert_int_equal(parse(text, nest(text, 17), &fault), FILTER_WRONG);
    assert_string_equal(fault.text, "position 49: more than 16 brackets are inside of each other");
    memset(text, '(', sizeof(text));
    assert_int_equal(parse(text, FILTER_TEXT_MAX, &fault), FILTER_WRONG);
    /* Brackets beside each other are not inside of each other. */
    size_t len = 0;
    for (size_t i = 0; i < 40; i++)
        len += (size_t)sprintf(text + len, "%s((disabled))", i == 0 ? "" : " OR ");
    assert_int_equal(parse(text, len, &fault), FILTER_OK);
}

static void out_of_memory_is_not_the_clients_mistake(void **state)
{
    struct filter *filter;
    struct fault fault = {.text = ""};
    (void)state;
    no_memory = true;
    enum filter_result result = filter_parse(&filter, "disabled", 8, &fault);
    no_memory = false;
    assert_int_equal(result, FILTER_NO_MEMORY);
    assert_null(filter);
    assert_string_equal(fault.text, "out of memory");
}

static void the_caller_may_not_want_the_reason(void **state)
{
    struct filter *filter;
    (void)state;
    assert_int_equal(filter_parse(&filter, "x", 1, NULL), FILTER_WRONG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_must_exist),
        cmocka_unit_test(operators_must_fit_the_field),
        cmocka_unit_test(values_must_be_of_the_fields_type),
        cmocka_unit_test(texts_must_be_well_formed),
        cmocka_unit_test(keys_of_labels_must_be_possible),
        cmocka_unit_test(brackets_and_operators_must_match),
        cmocka_unit_test(not_utf8_is_refused),
        cmocka_unit_test(nul_is_a_character_like_others),
        cmocka_unit_test(filter_has_at_most_4096_bytes),
        cmocka_unit_test(filter_has_at_most_64_tests),
        cmocka_unit_test(brackets_nest_16_deep),
        cmocka_unit_test(out_of_memory_is_not_the_clients_mistake),
        cmocka_unit_test(the_caller_may_not_want_the_reason),
    };
    return cmocka_run_group_tests_name("filter_errors", tests, NULL, NULL);
}
