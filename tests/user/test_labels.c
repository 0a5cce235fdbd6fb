/* SPDX-License-Identifier: MIT */
/* Which labels a user may have. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/user/user_texts.h"
#include "user/labels.h"

#define NAME_RULE                                                                                  \
    "labels: the name of a key must be of letters, digits, '-', '_' and '.', with a letter or a "  \
    "digit at both ends"
#define PREFIX_RULE "labels: the prefix of a key must be a DNS subdomain in lower case"

/* @return NULL: the labels are good; otherwise the reason why not */
static const char *reason_against(const struct user_label *labels, size_t count)
{
    const char *reason = "not set";
    return user_check_labels(labels, count, &reason) ? NULL : reason;
}

static const char *key_reason(const char *key)
{
    const char *reason = "not set";
    return user_check_label_key(text_of_string(key), &reason) ? NULL : reason;
}

static const char *value_reason(const char *value, size_t len)
{
    const struct user_label label = {.key = TEXT("k"),
                                     .value = {.data = (const uint8_t *)value, .len = len}};
    return reason_against(&label, 1);
}

static void keys_of_kubernetes_are_good(void **state)
{
    static const char *const keys[] = {
        "a",      "Z",
        "0",      "team",
        "a-b",    "a_b",
        "a.b",    "A.-_z",
        "1x",     "app.kubernetes.io/name",
        "x/Y",    "0.1-2/a",
        "a--b/c", "example.org/cost-centre",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
        if (key_reason(keys[i]) != NULL)
            fail_msg("%s: %s", keys[i], key_reason(keys[i]));
}

static void other_names_are_refused(void **state)
{
    static const char *const keys[] = {"-a",        "a-",    ".a",   "a.", "_",     "a b", "a,b",
                                       "a\xc3\xa4", "a/b/c", "x/-a", "a*", "x/a:b", "a\nb"};
    (void)state;
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
        assert_string_equal(key_reason(keys[i]), NAME_RULE);
    assert_string_equal(key_reason(""), "labels: a key has no name");
    assert_string_equal(key_reason("example.org/"), "labels: a key has no name");
}

static void other_prefixes_are_refused(void **state)
{
    static const char *const keys[] = {"/a",   "A.org/a", "a..b/a", ".a/a",  "a./a",  "-a/a",
                                       "a-/a", "a.-b/a",  "a-.b/a", "a_b/a", "a b/a", "\xc3\xa4/a"};
    (void)state;
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
        assert_string_equal(key_reason(keys[i]), PREFIX_RULE);
}

static void name_has_63_bytes_and_prefix_253_and_no_more(void **state)
{
    char key[400];
    (void)state;
    snprintf(key, sizeof(key), "%063d", 0);
    assert_null(key_reason(key));
    snprintf(key, sizeof(key), "%064d", 0);
    assert_string_equal(key_reason(key), "labels: the name of a key is longer than 63 bytes");
    snprintf(key, sizeof(key), "%0253d/%063d", 0, 0);
    assert_null(key_reason(key));
    snprintf(key, sizeof(key), "%0254d/a", 0);
    assert_string_equal(key_reason(key), "labels: the prefix of a key is longer than 253 bytes");
}

static void value_is_text_without_control_characters(void **state)
{
    (void)state;
    assert_null(value_reason("", 0));
    assert_null(value_reason("+49 30/123 \"x\", \\ *", 19));
    assert_null(value_reason("\xc3\x84\xe2\x82\xac\xf0\x9f\x98\x80", 9));
    for (char c = 0; c < 0x20; c++)
        assert_string_equal(value_reason((const char[]){'a', c}, 2),
                            "labels: a value contains an ASCII control character");
    assert_string_equal(value_reason("\x7f", 1),
                        "labels: a value contains an ASCII control character");
    assert_string_equal(value_reason("\xc3", 1), "labels: a value is not UTF-8");
    assert_string_equal(value_reason("\xed\xa0\x80", 3), "labels: a value is not UTF-8");
}

static void user_may_have_32_labels_with_different_keys(void **state)
{
    struct user_label labels[USER_LABELS_MAX + 1] = {0};
    char keys[USER_LABELS_MAX + 1][8];
    (void)state;
    for (int i = 0; i <= USER_LABELS_MAX; i++) {
        snprintf(keys[i], sizeof(keys[i]), "k%d", i);
        labels[i].key = text_of_string(keys[i]);
    }
    assert_null(reason_against(labels, 0));
    assert_null(reason_against(labels, USER_LABELS_MAX));
    assert_string_equal(reason_against(labels, USER_LABELS_MAX + 1), "labels are more than 32");
    labels[20].key = labels[3].key;
    assert_string_equal(reason_against(labels, USER_LABELS_MAX), "labels: a key is named twice");
}

static void keys_and_values_have_1024_bytes_in_all(void **state)
{
    static char value[1024];
    (void)state;
    memset(value, 'v', sizeof(value));
    struct user_label labels[2] = {
        {.key = TEXT("ab"), .value = {.data = (const uint8_t *)value, .len = 1000}},
        {.key = TEXT("cd"), .value = {.data = (const uint8_t *)value, .len = 20}}};
    assert_null(reason_against(labels, 2));
    labels[1].value.len++;
    assert_string_equal(reason_against(labels, 2), "labels are longer than 1024 bytes in all");
}

static void a_bad_label_anywhere_is_found(void **state)
{
    struct user_label labels[3] = {{.key = TEXT("a")}, {.key = TEXT("b")}, {.key = TEXT("c-")}};
    (void)state;
    assert_string_equal(reason_against(labels, 3), NAME_RULE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_of_kubernetes_are_good),
        cmocka_unit_test(other_names_are_refused),
        cmocka_unit_test(other_prefixes_are_refused),
        cmocka_unit_test(name_has_63_bytes_and_prefix_253_and_no_more),
        cmocka_unit_test(value_is_text_without_control_characters),
        cmocka_unit_test(user_may_have_32_labels_with_different_keys),
        cmocka_unit_test(keys_and_values_have_1024_bytes_in_all),
        cmocka_unit_test(a_bad_label_anywhere_is_found),
    };
    return cmocka_run_group_tests_name("labels", tests, NULL, NULL);
}
