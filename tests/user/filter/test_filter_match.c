/* SPDX-License-Identifier: MIT */
/* Which users a filter matches, and which filters a unique key answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/user/user_texts.h"
#include "user/filter/filter.h"

/* Counts what allocates. */
static unsigned allocations;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

void *__wrap_malloc(size_t size)
{
    allocations++;
    return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    allocations++;
    return __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    allocations++;
    return __real_realloc(old, size);
}

/* ---- the users: a column of the tables below each ---- */

static const struct user_text user_and_admin[] = {TEXT("user"), TEXT("admin")};
static const struct user_text only_user[] = {TEXT("user")};
static const struct user_text admin_read[] = {TEXT("admin-read"), TEXT("\xc3\xa4")};
static const struct user_label ada_labels[] = {
    {.key = TEXT("example.org/cost-centre"), .value = TEXT("42")},
    {.key = TEXT("team"), .value = TEXT("core")},
};
static const struct user_label carol_labels[] = {
    {.key = TEXT("nick"), .value = TEXT("a*b \"c\"")},
    {.key = TEXT("team"), .value = TEXT("")},
};
static const struct user_label adam_labels[] = {{.key = TEXT("team"), .value = TEXT("corelib")}};

#define NS(seconds) (INT64_C(1000000000) * (seconds))
enum {
    JANUARY = 1767225600,  /* 2026-01-01T00:00:00Z */
    FEBRUARY = 1769904000, /* 2026-02-01T00:00:00Z */
    MARCH = 1772323200,    /* 2026-03-01T00:00:00Z */
};

static const struct user_record user_records[] = {
    {/* a */
     .fields = {.username = TEXT("ada"),
                .email = TEXT("Ada@Example.ORG"),
                .created_at = JANUARY,
                .roles = user_and_admin,
                .num_roles = 2},
     .update_time = NS(MARCH) + 500000000,
     .labels = ada_labels,
     .num_labels = 2,
     .secret = TEXT("$2b$12$x")},
    {/* b */
     .fields = {.username = TEXT("bob"),
                .email = TEXT("bob@example.org"),
                .created_at = FEBRUARY,
                .roles = only_user,
                .num_roles = 1},
     .disabled = true,
     .update_time = NS(FEBRUARY)},
    {/* c */
     .fields = {.username = TEXT("carol"), .created_at = FEBRUARY},
     .update_time = NS(FEBRUARY) + 1,
     .labels = carol_labels,
     .num_labels = 2},
    {/* d */
     .fields = {.username = TEXT("adam"),
                .email = TEXT("adam@sub.example.org"),
                .created_at = MARCH,
                .roles = admin_read,
                .num_roles = 2},
     .disabled = true,
     .update_time = NS(MARCH),
     .labels = adam_labels,
     .num_labels = 1,
     .secret = TEXT("$y$j9T$x")},
    {/* e */
     .fields = {.username = TEXT("a*"), .email = TEXT("ada@example.org"), .created_at = MARCH},
     .update_time = NS(MARCH)},
};
enum { USERS = sizeof(user_records) / sizeof(*user_records) };

static struct stored_user users[USERS];

static int store_users(void **state)
{
    (void)state;
    for (size_t i = 0; i < USERS; i++)
        store_user(&users[i], &user_records[i]);
    return 0;
}

static struct filter *parse(const char *text)
{
    struct filter *filter;
    struct fault fault;
    if (filter_parse(&filter, text, strlen(text), &fault) != FILTER_OK)
        fail_msg("%s: %s", text, fault.text);
    return filter;
}

static bool matches(const struct filter *filter, const struct stored_user *user)
{
    return filter_match(filter, user->body, user->body_len, user->hidden, user->hidden_len);
}

struct row {
    const char *text, *users; /* the letters of the users that match */
};

static void assert_rows(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct filter *filter = parse(rows[i].text);
        char found[USERS + 1] = "";
        const unsigned before = allocations;
        for (size_t k = 0; k < USERS; k++)
            if (matches(filter, &users[k]))
                found[strlen(found)] = (char)('a' + k);
        assert_int_equal(allocations, before);
        free(filter);
        if (strcmp(found, rows[i].users) != 0)
            fail_msg("%s matches %s, but must match %s", rows[i].text, found, rows[i].users);
    }
}
#define ASSERT_ROWS(rows) assert_rows(rows, sizeof(rows) / sizeof(*(rows)))

/* ---- single tests ---- */

static void empty_filter_matches_all(void **state)
{
    static const struct row rows[] = {{"", "abcde"}, {" \t\r\n", "abcde"}};
    (void)state;
    ASSERT_ROWS(rows);
}

static void username_is_compared_byte_by_byte(void **state)
{
    static const struct row rows[] = {
        {"username = \"ada\"", "a"},     {"username=ada", "a"},
        {"username = 'ada'", "a"},       {"username = \"Ada\"", ""},
        {"username = \"ad\"", ""},       {"username = \"\"", ""},
        {"username != \"ada\"", "bcde"}, {"username = \"ada*\"", "ad"},
        {"username = ada*", "ad"},       {"username = \"adam*\"", "d"},
        {"username = \"a*\"", "ade"},    {"username = \"a\\*\"", "e"},
        {"username = \"a\\**\"", "e"},   {"username != \"a*\"", "bc"},
        {"username:*", "abcde"},         {"-username:*", ""},
    };
    (void)state;
    ASSERT_ROWS(rows);
}

static void domain_of_an_email_is_compared_in_lower_case(void **state)
{
    static const struct row rows[] = {
        {"email = \"Ada@example.org\"", "a"},
        {"email = Ada@EXAMPLE.org", "a"},
        {"email = \"ada@example.org\"", "e"},
        {"email = \"ada@EXAMPLE.ORG\"", "e"},
        {"email = \"Ada@Exam*\"", "a"},
        {"email = \"ad*\"", "de"},
        {"email = \"Ad*\"", "a"},
        {"email = \"@*\"", ""},
        {"email = \"adam@SUB.*\"", "d"},
        {"email = \"Ada@example.org \"", ""},
        {"email != \"Ada@example.org\"", "bcde"},
    };
    (void)state;
    ASSERT_ROWS(rows);
}

static void absent_email_is_the_empty_text(void **state)
{
    static const struct row rows[] = {
        {"email = \"\"", "c"}, {"email != \"\"", "abde"}, {"email:*", "abde"},
        {"NOT email:*", "c"},  {"email != x", "abcde"},
    };
    (void)state;
    ASSERT_ROWS(rows);
}

static void any_role_may_be_the_one(void **state)
{
    static const struct row rows[] = {
        {"roles:\"admin\"", "a"}, {"roles:admin", "a"},     {"roles:user", "ab"},
        {"roles:admin*", "ad"},   {"roles:\"adm*\"", "ad"}, {"roles:*", "abd"},
        {"-roles:*", "ce"},       {"roles:Admin", ""},      {"roles:\"\xc3\xa4\"", "d"},
        {"roles:\xc3\xa4", "d"},  {"roles:\"\"", ""},       {"-roles:admin", "bcde"},
    };
    (void)state;
    ASSERT_ROWS(rows);
}

static void label_is_tested_by_key_and_value(void **state)
{
    static const struct row rows[] = {
        {"labels:team", "acd"},
        {"labels:\"team\"", "acd"},
        {"labels.team:*", "acd"},
        {"labels:*", "acd"},
        {"-labels:*", "be"},
        {"labels:te*", "acd"},
        {"labels:\"example.org/*\"", "a"},
        {"labels:\"example.org/cost-centre\"", "a"},
        {"labels.team = core", "a"},
        {"labels.team = \"core*\"", "ad"},
        {"labels.team:core", "a"},
        {"labels.team:core*", "ad"},
        {"labels.team = \"\"", "c"},
        {"labels.\"team\" = core", "a"},
        {"labels.'team'=core", "a"},
        {"labels.Team = core", ""},
        {"labels.tea = core", ""},
        {"labels.\"example.org/cost-centre\" = 42", "a"},
        {"labels.nick = \"a\\*b \\\"c\\\"\"", "c"},
    };
    (void)state;
    ASSERT_ROWS(rows);
}

/* AIP-160: what traverses something that is not set does not match, whatever the operator. */
static void absent_label_is_neither_equal_nor_unequal(void **state)
{
    static const struct row rows[] = {
        {"labels.team != core", "cd"},   {"NOT labels.team = core", "bcde"},
        {"-labels.team != core", "abe"}, {"labels.team != \"core*\"", "c"},
        {"labels.other != x", ""},       {"-labels.other = x", "abcde"},
    };
    (void)state;
    ASSERT_ROWS(rows);
}

static void flags_stand_alone_or_are_compared(void **state)
{
    static const struct row rows[] = {
        {"disabled", "bd"},          {"disabled = true", "bd"},     {"disabled=false", "ace"},
        {"disabled != true", "ace"}, {"disabled != false", "bd"},   {"NOT disabled", "ace"},
        {"-disabled", "ace"},        {"-disabled = false", "bd"},   {"has_password", "ad"},
        {"-has_password", "bce"},    {"has_password = true", "ad"}, {"has_password = false", "bce"},
    };
    (void)state;
    ASSERT_ROWS(rows);
}

static void times_are_compared_as_points_in_time(void **state)
{
    static const struct row rows[] = {
        {"create_time = 2026-02-01T00:00:00Z", "bc"},
        {"create_time = \"2026-02-01T00:00:00Z\"", "bc"},
        {"create_time = 2026-02-01T01:00:00+01:00", "bc"},
        {"create_time != 2026-02-01T00:00:00Z", "ade"},
        {"create_time < 2026-02-01T00:00:00Z", "a"},
        {"create_time <= 2026-02-01T00:00:00Z", "abc"},
        {"create_time > 2026-02-01T00:00:00Z", "de"},
        {"create_time >= 2026-02-01T00:00:00Z", "bcde"},
        {"create_time > 2026-01-31T23:59:59.999999999Z", "bcde"},
        {"update_time = 2026-03-01T00:00:00.5Z", "a"},
        {"update_time > 2026-03-01T00:00:00.499999999Z", "a"},
        {"update_time >= 2026-03-01T00:00:00.500000001Z", ""},
        {"update_time = 2026-02-01T00:00:00.000000001Z", "c"},
        {"update_time < 2026-02-01T00:00:00.000000001Z", "b"},
        {"update_time = 2026-03-01T00:00:00Z", "de"}, /* never updated: the creation's time */
        {"create_time < 9999-12-31T23:59:59Z", "abcde"},
        {"create_time > 9999-12-31T23:59:59Z", ""},
        {"create_time < 0001-01-01T00:00:00Z", ""},
        {"create_time >= 0001-01-01T00:00:00Z", "abcde"},
        {"create_time = 9999-12-31T23:59:59Z", ""},
        {"create_time != 0001-01-01T00:00:00Z", "abcde"},
    };
    (void)state;
    ASSERT_ROWS(rows);
}

/* ---- combinations ---- */

static void or_binds_tighter_than_and(void **state)
{
    static const struct row rows[] = {
        {"disabled AND username = bob", "b"},
        {"username = bob OR username = ada", "ab"},
        {"username = ada AND username = bob OR disabled", ""}, /* ada AND (bob OR disabled) */
        {"(username = ada AND username = bob) OR disabled", "bd"},
        {"disabled OR username = ada AND has_password", "ad"}, /* (disabled OR ada) AND ... */
        {"disabled OR (username = ada AND has_password)", "abd"},
        {"disabled AND has_password OR roles:user AND email:*", "bd"},
        {"-disabled OR roles:user AND -labels:team OR has_password", "abe"},
        {"username = x OR username = y OR username = ada", "a"},
        {"email:* AND labels:* AND has_password AND -disabled", "a"},
    };
    (void)state;
    ASSERT_ROWS(rows);
}

static void not_applies_to_what_follows_alone(void **state)
{
    static const struct row rows[] = {
        {"NOT disabled AND has_password", "a"},
        {"NOT (disabled AND has_password)", "abce"},
        {"NOT(disabled OR has_password)", "ce"},
        {"-(disabled OR has_password)", "ce"},
        {"NOT (NOT disabled)", "bd"},
        {"-(-(-disabled))", "ace"},
        {"NOT (username = ada AND has_password OR NOT roles:user) AND disabled", "bd"},
        {"disabled AND NOT (roles:user OR has_password)", ""},
        {"((((disabled))))", "bd"},
        {"( disabled )AND( has_password )", "d"},
    };
    (void)state;
    ASSERT_ROWS(rows);
}

/* ---- what can be read ---- */

static void damaged_parts_count_as_absent(void **state)
{
    struct filter *name = parse("username = ada"), *no_name = parse("-username:*"),
                  *label = parse("labels:*"), *password = parse("has_password"),
                  *old = parse("create_time < 1970-01-01T00:00:01Z");
    (void)state;
    assert_false(filter_match(name, NULL, 0, NULL, 0));
    assert_true(filter_match(no_name, NULL, 0, NULL, 0));
    assert_true(filter_match(old, NULL, 0, NULL, 0));
    assert_false(filter_match(name,
                              (const uint8_t *)"\x12\x05"
                                               "ada",
                              5, NULL, 0));
    assert_false(filter_match(label, NULL, 0, (const uint8_t *)"\x1a\x03\x0a\x05k", 5));
    assert_true(filter_match(label, NULL, 0, (const uint8_t *)"\x1a\x03\x0a\x01k", 5));
    assert_false(filter_match(password, NULL, 0, (const uint8_t *)"\x22\x00", 2));
    free(name);
    free(no_name);
    free(label);
    free(password);
    free(old);
}

/* A test reads its own part alone: the other one may be anywhere. */
static void only_the_needed_part_is_read(void **state)
{
    struct filter *body = parse("username = a* AND email:* OR roles:x AND create_time > "
                                "2000-01-01T00:00:00Z"),
                  *hidden = parse("labels.team = core AND has_password AND -disabled");
    const uint8_t *nowhere = (const uint8_t *)8; /* reading it would end the process */
    (void)state;
    assert_true(filter_match(body, users[0].body, users[0].body_len, nowhere, 100));
    assert_true(filter_match(hidden, nowhere, 100, users[0].hidden, users[0].hidden_len));
    free(body);
    free(hidden);
}

static void filter_outlives_its_text(void **state)
{
    char text[] = "username = ada";
    struct filter *filter = parse(text);
    (void)state;
    memset(text, 'x', sizeof(text));
    assert_true(matches(filter, &users[0]));
    free(filter);
}

/* ---- keys ---- */

struct key_row {
    const char *text;
    int key; /* -1: none */
    const char *value;
};

static void keys_answer_conjunctions_alone(void **state)
{
    static const struct key_row rows[] = {
        {"username = \"ada\"", USER_KEY_USERNAME, "ada"},
        {"email = \"Ada@Example.ORG\"", USER_KEY_EMAIL, "Ada@example.org"},
        {"disabled AND username = ada", USER_KEY_USERNAME, "ada"},
        {"(disabled OR roles:x) AND (labels:y AND (username = ada))", USER_KEY_USERNAME, "ada"},
        {"email = a@b AND username = ada", USER_KEY_EMAIL, "a@b"},
        {"username = ada* AND username = bob AND username = carol", USER_KEY_USERNAME, "bob"},
        {"-(-(username = ada))", USER_KEY_USERNAME, "ada"},
        {"username = \"a\\*\"", USER_KEY_USERNAME, "a*"},
        {"", -1, NULL},
        {"disabled", -1, NULL},
        {"username = ada*", -1, NULL},
        {"username != ada", -1, NULL},
        {"-username = ada", -1, NULL},
        {"username = ada OR username = bob", -1, NULL},
        {"disabled AND username = ada OR disabled", -1, NULL},
        {"NOT (username = ada AND disabled)", -1, NULL},
        {"-(-username = ada OR disabled)", -1, NULL},
        {"username = \"\"", -1, NULL},
        {"email = \"\"", -1, NULL},
        {"email:*", -1, NULL},
        {"roles:ada", -1, NULL},
        {"labels.username = ada", -1, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct filter *filter = parse(rows[i].text);
        enum user_key key = USER_KEYS;
        struct user_text text = {0};
        const bool found = filter_key(filter, &key, &text);
        if (found != (rows[i].key >= 0) ||
            (found &&
             ((int)key != rows[i].key || !user_text_equal(text, text_of_string(rows[i].value)))))
            fail_msg("%s: wrong key", rows[i].text);
        free(filter);
    }
}

static void text_that_is_too_long_is_no_key(void **state)
{
    char text[400];
    enum user_key key;
    struct user_text value;
    (void)state;
    for (int len = 250; len <= 300; len++) {
        snprintf(text, sizeof(text), "username = %0*d", len, 0);
        struct filter *filter = parse(text);
        assert_int_equal(filter_key(filter, &key, &value), len <= USER_KEY_MAX);
        assert_false(matches(filter, &users[0]));
        free(filter);
        snprintf(text, sizeof(text), "email = X@Y%0*d", len, 0);
        filter = parse(text);
        assert_false(matches(filter, &users[0]));
        free(filter);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_filter_matches_all),
        cmocka_unit_test(username_is_compared_byte_by_byte),
        cmocka_unit_test(domain_of_an_email_is_compared_in_lower_case),
        cmocka_unit_test(absent_email_is_the_empty_text),
        cmocka_unit_test(any_role_may_be_the_one),
        cmocka_unit_test(label_is_tested_by_key_and_value),
        cmocka_unit_test(absent_label_is_neither_equal_nor_unequal),
        cmocka_unit_test(flags_stand_alone_or_are_compared),
        cmocka_unit_test(times_are_compared_as_points_in_time),
        cmocka_unit_test(or_binds_tighter_than_and),
        cmocka_unit_test(not_applies_to_what_follows_alone),
        cmocka_unit_test(damaged_parts_count_as_absent),
        cmocka_unit_test(only_the_needed_part_is_read),
        cmocka_unit_test(filter_outlives_its_text),
        cmocka_unit_test(keys_answer_conjunctions_alone),
        cmocka_unit_test(text_that_is_too_long_is_no_key),
    };
    return cmocka_run_group_tests_name("filter_match", tests, store_users, NULL);
}
