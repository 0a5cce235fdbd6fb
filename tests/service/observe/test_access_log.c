/* SPDX-License-Identifier: MIT */
/* The access log: how values are quoted, and that a worker never waits for the file. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "service/observe/access_log.h"
#include "service/observe/access_log_line.h"

enum { RING = 16384 };

/* ---- texts ---- */

static void text_is(const char *value, size_t len, const char *expected)
{
    char out[600];
    *access_log_put_text(out, value, len, 512) = '\0';
    assert_string_equal(out, expected);
}

static void text_is_quoted_where_it_must_be(void **state)
{
    (void)state;
    text_is("/a.B/C", 6, "/a.B/C");
    text_is("", 0, "\"\"");
    text_is("-", 1, "\"-\"");
    text_is("--", 2, "--");
    text_is("a b", 3, "\"a b\"");
    text_is("a=b", 3, "\"a=b\"");
    text_is("a\"\\b", 4, "\"a\\\"\\\\b\"");
    text_is("\n\0\x7f\xff", 4, "\"\\x0a\\x00\\x7f\\xff\"");
}

static void long_text_is_cut_within_its_limit(void **state)
{
    char value[2000], out[2000];
    (void)state;
    for (int c = 1; c < 256; c++) {
        memset(value, c, sizeof(value));
        for (size_t len = 40; len < 80; len++) {
            char *end = access_log_put_text(out, value, len, 64);
            assert_true(end - out <= 64);
            assert_true(end - out >= 40);
            end = access_log_put_json(out, value, len, 64);
            assert_true(end - out <= 64);
            assert_true(end - out >= 40);
        }
    }
}

/* A JSON library reads the value back as the expected text. */
static void json_reads_as(const char *value, size_t len, const char *expected, size_t expected_len)
{
    char out[600];
    *access_log_put_json(out, value, len, 512) = '\0';
    struct json_tokener *tokener = json_tokener_new();
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    struct json_object *read = json_tokener_parse_ex(tokener, out, (int)strlen(out) + 1);
    assert_non_null(read);
    assert_int_equal(json_object_get_string_len(read), expected_len);
    assert_memory_equal(json_object_get_string(read), expected, expected_len);
    json_object_put(read);
    json_tokener_free(tokener);
}

static void json_holds_any_bytes(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        char value[] = {'a', (char)c, 'b'};
        if (c < 0x80)
            json_reads_as(value, 3, value, 3);
        else
            json_reads_as(value, 3, "a\xef\xbf\xbd\x62", 5);
    }
    json_reads_as("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 9, "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80",
                  9);
    json_reads_as("\xed\xa0\x80", 3, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", 9); /* a surrogate */
    json_reads_as("\xf0\x9f\x98", 3, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", 9); /* cut off */
    json_reads_as("", 0, "", 0);
}

/* Characters that control a terminal, or change the direction of text, are escaped by number. */
static void json_escapes_what_steers_a_terminal(void **state)
{
    static const char *const steering[][2] = {
        {"\x1b", "\\u001b"},         {"\x7f", "\\u007f"},         {"\xc2\x80", "\\u0080"},
        {"\xc2\x9b", "\\u009b"},     {"\xc2\x9f", "\\u009f"},     {"\xd8\x9c", "\\u061c"},
        {"\xe2\x80\x8f", "\\u200f"}, {"\xe2\x80\xa8", "\\u2028"}, {"\xe2\x80\xa9", "\\u2029"},
        {"\xe2\x80\xae", "\\u202e"}, {"\xe2\x81\xa6", "\\u2066"}, {"\xef\xbb\xbf", "\\ufeff"},
    };
    char value[16], out[64], expected[64];
    (void)state;
    for (size_t i = 0; i < sizeof(steering) / sizeof(steering[0]); i++) {
        int len = snprintf(value, sizeof(value), "a%sb", steering[i][0]);
        *access_log_put_json(out, value, (size_t)len, 64) = '\0';
        snprintf(expected, sizeof(expected), "\"a%sb\"", steering[i][1]);
        assert_string_equal(out, expected);
        json_reads_as(value, (size_t)len, value, (size_t)len); /* the value is kept */
    }
    json_reads_as("\xc2\xa0", 2, "\xc2\xa0", 2);
}

/* ---- the ring ---- */

static void sleep_ms(unsigned ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&time, NULL);
}

/* Writes the n-th line; lengths vary. @return its length */
static size_t make_line(char *line, unsigned n)
{
    return (size_t)sprintf(line, "%u %.*s\n", n, (int)(n * 7 % 190),
                           "................................................................"
                           "................................................................"
                           "..............................................................");
}

static void every_line_is_written_in_order(void **state)
{
    char line[256], expected[256];
    (void)state;
    FILE *file = tmpfile();
    struct access_log *log = access_log_create(fileno(file), false, RING);
    assert_non_null(log);
    enum { LINES = 20000 };
    for (unsigned n = 0; n < LINES; n++) {
        size_t len = make_line(line, n);
        for (int tries = 0; !access_log_append(log, line, len); tries++) {
            assert_true(tries < 5000);
            sleep_ms(1);
        }
        if (n % 3 == 0)
            access_log_flush(log);
    }
    access_log_flush(log);
    access_log_destroy(log, 5000);
    rewind(file);
    for (unsigned n = 0; n < LINES; n++) {
        make_line(expected, n);
        assert_non_null(fgets(line, sizeof(line), file));
        assert_string_equal(line, expected);
    }
    assert_null(fgets(line, sizeof(line), file));
    fclose(file);
}

static void line_comes_without_the_next_one(void **state)
{
    char line[16];
    int fds[2];
    (void)state;
    assert_int_equal(pipe(fds), 0);
    struct access_log *log = access_log_create(fds[1], false, RING);
    for (int i = 0; i < 50; i++) {
        assert_true(access_log_append(log, "one\n", 4));
        access_log_flush(log);
        assert_int_equal(read(fds[0], line, sizeof(line)),
                         4); /* hangs if the line is not written */
        assert_memory_equal(line, "one\n", 4);
    }
    access_log_destroy(log, 1000);
    close(fds[0]);
    close(fds[1]);
}

static void full_pipe_loses_lines_and_never_waits(void **state)
{
    char line[128], text[4096];
    int fds[2];
    (void)state;
    assert_int_equal(pipe(fds), 0);
    struct access_log *log = access_log_create(fds[1], false, RING);
    memset(line, 'x', sizeof(line));
    line[sizeof(line) - 1] = '\n';
    unsigned kept = 0, lost = 0;
    for (int i = 0; i < 5000; i++) { /* 640 kB into a pipe that holds 64 kB and is not read */
        if (access_log_append(log, line, sizeof(line)))
            kept++;
        else
            lost++;
        access_log_flush(log);
        if (i % 100 == 0)
            sleep_ms(1);
    }
    assert_true(lost > 0);
    assert_int_equal(access_log_dropped(log), lost);
    /* a late reader gets the lines that were kept, all of them whole */
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    size_t got = 0;
    for (int idle = 0; idle < 100 && got < (size_t)kept * sizeof(line);) {
        ssize_t len = read(fds[0], text, sizeof(text));
        idle = len > 0 ? 0 : idle + 1;
        got += len > 0 ? (size_t)len : 0;
        if (len <= 0)
            sleep_ms(20);
    }
    assert_int_equal(got, (size_t)kept * sizeof(line));
    access_log_destroy(log, 1000);
    close(fds[0]);
    close(fds[1]);
}

static void failed_write_counts_its_lines(void **state)
{
    (void)state;
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    struct access_log *log = access_log_create(fd, false, RING);
    for (int i = 0; i < 10; i++)
        access_log_append(log, "line\n", 5);
    access_log_flush(log);
    for (int i = 0; i < 500 && access_log_dropped(log) != 10; i++)
        sleep_ms(10);
    assert_int_equal(access_log_dropped(log), 10);
    access_log_destroy(log, 1000);
    close(fd);
}

static void end_does_not_wait_for_a_pipe_that_nobody_reads(void **state)
{
    char line[1024];
    int fds[2];
    (void)state;
    assert_int_equal(pipe(fds), 0);
    fcntl(fds[1], F_SETFL, O_NONBLOCK);
    struct access_log *log = access_log_create(fds[1], false, 256 * 1024);
    memset(line, 'x', sizeof(line));
    line[sizeof(line) - 1] = '\n';
    for (int i = 0; i < 200; i++)
        access_log_append(log, line, sizeof(line));
    access_log_flush(log);
    sleep_ms(50);
    time_t before = time(NULL);
    access_log_destroy(log, 300);
    assert_true(time(NULL) - before <= 5);
    close(fds[0]);
    close(fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_quoted_where_it_must_be),
        cmocka_unit_test(long_text_is_cut_within_its_limit),
        cmocka_unit_test(json_holds_any_bytes),
        cmocka_unit_test(json_escapes_what_steers_a_terminal),
        cmocka_unit_test(every_line_is_written_in_order),
        cmocka_unit_test(line_comes_without_the_next_one),
        cmocka_unit_test(full_pipe_loses_lines_and_never_waits),
        cmocka_unit_test(failed_write_counts_its_lines),
        cmocka_unit_test(end_does_not_wait_for_a_pipe_that_nobody_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
