/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/fault.h"

static void fault_has_its_text_and_the_function_fails(void **state)
{
    struct fault fault = {""};
    (void)state;
    assert_false(fault_set(&fault, "%s is over %d", "size", 7));
    assert_string_equal(fault.text, "size is over 7");
    assert_false(fault_set(&fault, "again"));
    assert_string_equal(fault.text, "again");
}

static void fault_names_errno(void **state)
{
    struct fault fault;
    (void)state;
    errno = ENOENT;
    assert_false(fault_set_errno(&fault, "cannot open %s", "/x"));
    assert_string_equal(fault.text, "cannot open /x: No such file or directory");
}

static void fault_gets_a_prefix_from_each_caller(void **state)
{
    struct fault fault;
    (void)state;
    fault_set(&fault, "no such user");
    assert_false(fault_prefix(&fault, "line %u", 12));
    assert_false(fault_prefix(&fault, "%s", "tokens"));
    assert_string_equal(fault.text, "tokens: line 12: no such user");
}

static void fault_that_nobody_wants_is_not_made(void **state)
{
    (void)state;
    assert_false(fault_set(NULL, "text"));
    assert_false(fault_set_errno(NULL, "text"));
    assert_false(fault_prefix(NULL, "text"));
}

/* Each way to fill a fault, with texts whose lengths lie around its size. */
static void fault_that_is_too_long_ends_in_dots(void **state)
{
    static char text[2 * sizeof(struct fault)];
    struct fault fault;
    const size_t max = sizeof(fault.text) - 1;
    (void)state;
    for (size_t len = max - 5; len < max + 5; len++) {
        memset(text, 'x', len);
        text[len] = '\0';
        fault_set(&fault, "%s", text);
        assert_int_equal(strlen(fault.text), len < max ? len : max);
        assert_int_equal(fault.text[strlen(fault.text) - 1], len > max ? '.' : 'x');
        fault_prefix(&fault, "front");
        assert_int_equal(strncmp(fault.text, "front: xxx", 10), 0);
        assert_int_equal(strlen(fault.text), max);
        assert_string_equal(fault.text + max - 3, "...");
        errno = EIO;
        fault_set_errno(&fault, "%s", text);
        assert_int_equal(strlen(fault.text), max);
        assert_string_equal(fault.text + max - 3, "...");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fault_has_its_text_and_the_function_fails),
        cmocka_unit_test(fault_names_errno),
        cmocka_unit_test(fault_gets_a_prefix_from_each_caller),
        cmocka_unit_test(fault_that_nobody_wants_is_not_made),
        cmocka_unit_test(fault_that_is_too_long_ends_in_dots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
