/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/percent.h"

static void expect_percent(const char *text, size_t len, const char *encoded)
{
    char to[64];
    assert_int_equal(percent_length(text, len), strlen(encoded));
    assert_ptr_equal(percent_encode(to, text, len), to + strlen(encoded));
    char back[64];
    assert_int_equal(percent_decode(back, sizeof(back), encoded, strlen(encoded)), len);
    assert_memory_equal(back, text, len);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(percent_encodes_only_what_it_must),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
