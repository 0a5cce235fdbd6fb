/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/spelling.h"

static const char *const known[] = {"workers", "worker-timeout", "listen", "max-users"};

static const char *known_at(size_t index)
{
    return known[index];
}

static size_t nearest(const char *word)
{
    return spelling_nearest(word, sizeof(known) / sizeof(known[0]), known_at);
}

static void spelling_finds_the_word_that_was_meant(void **state)
{
    (void)state;
    assert_int_equal(nearest("workers"), 0);
    assert_int_equal(nearest("wrokers"), 0);
    assert_int_equal(nearest("worker-timout"), 1);
    assert_int_equal(nearest("lsten"), 2);
    assert_int_equal(nearest("max_users"), 3);
}

static void spelling_suggests_nothing_for_other_words(void **state)
{
    (void)state;
    assert_int_equal(nearest("certificate"), 4);
    assert_int_equal(nearest("x"), 4);
    assert_int_equal(nearest("a-word-that-is-longer-than-spelling-looks-at"), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spelling_finds_the_word_that_was_meant),
        cmocka_unit_test(spelling_suggests_nothing_for_other_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
