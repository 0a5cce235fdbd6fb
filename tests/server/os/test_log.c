/* SPDX-License-Identifier: MIT */
/* How the log writes arbitrary bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/os/log.h"

static char path[] = "/tmp/rosterd-test-log-XXXXXX";

/* The line of this text is "... [PID] expected". */
static void assert_logged(const char *text, const char *expected)
{
    char line[2048];
    assert_int_equal(truncate(path, 0), 0);
    assert_true(log_open(path, NULL));
    log_error("%s", text);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(line, sizeof(line), file));
    assert_int_equal(fgetc(file), EOF);
    fclose(file);
    line[strcspn(line, "\n")] = '\0';
    const char *at = strstr(line, "] ");
    assert_non_null(at);
    assert_string_equal(at + 2, expected);
}

static void text_cannot_steer_a_terminal_or_begin_a_line(void **state)
{
    (void)state;
    assert_logged("a\nb\x1b[2Jc\x7f", "a?b?[2Jc?");
    assert_logged("\xc2\x9b\x32J \xc2\x85 \xe2\x80\xa8 \xe2\x80\xae x", "??2J ?? ??? ??? x");
}

static void text_in_any_language_stays(void **state)
{
    (void)state;
    assert_logged("/srv/gr\xc3\xb6\xc3\x9f\x65/\xe2\x82\xac/\xf0\x9f\x98\x80",
                  "/srv/gr\xc3\xb6\xc3\x9f\x65/\xe2\x82\xac/\xf0\x9f\x98\x80");
}

static void bytes_of_no_character_are_replaced(void **state)
{
    (void)state;
    assert_logged("a\xff\xc3.\xed\xa0\x80z\xf0\x9f", "a??.???z??");
}

static int make_file(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_cannot_steer_a_terminal_or_begin_a_line),
        cmocka_unit_test(text_in_any_language_stays),
        cmocka_unit_test(bytes_of_no_character_are_replaced),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
