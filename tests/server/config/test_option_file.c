/* SPDX-License-Identifier: MIT */
/* The configuration file: what is read, what is refused and how; what the table prints. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/config/option_documents.h"
#include "server/config/option_print.h"
#include "server/config/option_values.h"
#include "server/config/options_parse.h"

static struct options options;
static struct fault fault;
static char path[64];

static void write_file(const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

/* Parses a file with this text, and these arguments; a NULL ends them. */
static bool parse(const char *text, ...)
{
    char *argv[16] = {(char *)"rosterd", (char *)"--config", path};
    int argc = 3;
    va_list args;
    write_file(text);
    va_start(args, text);
    for (const char *arg; (arg = va_arg(args, const char *)) != NULL;)
        argv[argc++] = (char *)(uintptr_t)arg;
    va_end(args);
    options_free(&options);
    fault.text[0] = '\0';
    return options_parse(&options, argc, argv, &fault);
}

/* @param expected the fault, without the path at its beginning */
static void assert_refused(const char *text, const char *expected)
{
    assert_false(parse(text, NULL));
    assert_int_equal(strncmp(fault.text, path, strlen(path)), 0);
    assert_string_equal(fault.text + strlen(path), expected);
}

static void keys_are_the_long_options(void **state)
{
    (void)state;
    assert_true(parse("# a comment\n"
                      "; another\n"
                      "\n"
                      "workers = 3\n"
                      "  max-message-size=1M   ; indented, with a comment behind\n"
                      "listen = 127.0.0.1:1\n"
                      "listen = [::1]:2\n"
                      "drain-timeout = 90s",
                      NULL));
    assert_int_equal(options.workers, 3);
    assert_int_equal(options.max_message_size, 1 << 20);
    assert_int_equal(options.listen.count, 2);
    assert_string_equal(options.listen.all[1].text, "[::1]:2");
    assert_int_equal(options.drain_timeout, 90000);
}

static void command_line_wins_and_replaces_lists(void **state)
{
    (void)state;
    assert_true(parse("workers = 3\nlisten = 127.0.0.1:1\nlisten = 127.0.0.1:2\n", "--workers", "5",
                      "--listen", "127.0.0.1:3", "--listen=127.0.0.1:4", NULL));
    assert_int_equal(options.workers, 5);
    assert_int_equal(options.listen.count, 2);
    assert_string_equal(options.listen.all[0].text, "127.0.0.1:3");
    assert_string_equal(options.listen.all[1].text, "127.0.0.1:4");
}

static void fault_names_file_line_key_and_what_is_expected(void **state)
{
    (void)state;
    assert_refused("# one\nworkers = many\n",
                   ":2: workers: 'many' is not a whole number from 1 to 512");
    assert_refused("workers = 2\nworkers = 3\n", ":2: workers: has a value already, in line 1");
    assert_refused("\n\nmax-usrs = 3\n", ":3: max-usrs: there is no such key; is it max-users?");
    assert_refused("qwertyuiop = 3\n", ":1: qwertyuiop: there is no such key");
    assert_refused("workers\n", ":1: is not KEY = VALUE");
    assert_refused("workers = 2\nnonsense\nworkers = x\n", ":2: is not KEY = VALUE");
    assert_refused("workers = x\nnonsense\n",
                   ":1: workers: 'x' is not a whole number from 1 to 512");
    assert_refused("[server]\nworkers = 2\n", ":1: [server]: the file has no sections");
    assert_refused("segment-reset = on\n", ":1: segment-reset: belongs on the command line");
    assert_refused("log-level =\n",
                   ":1: log-level: '' is not one of error, warning, notice, info or debug");
}

static void long_line_is_refused(void **state)
{
    (void)state;
    char text[1000] = "workers = 2\nlog-file = /";
    memset(text + strlen(text), 'x', 700);
    assert_false(parse(text, NULL));
    assert_non_null(strstr(fault.text, ":2: longer than "));
}

static void file_that_cannot_be_read_is_named(void **state)
{
    static const char *const bad[] = {"/no/such/file", "/tmp", "", "/dev/zero"};
    static const char *const why[] = {"No such file or directory", "Is a directory",
                                      "No such file or directory", "it is not a regular file"};
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char expected[100];
        char *argv[] = {(char *)"rosterd", (char *)"--config", (char *)(uintptr_t)bad[i]};
        options_free(&options);
        assert_false(options_parse(&options, 3, argv, &fault));
        snprintf(expected, sizeof(expected), "config: %s: %s", bad[i], why[i]);
        assert_string_equal(fault.text, expected);
    }
}

static void file_with_a_nul_byte_is_refused(void **state)
{
    (void)state;
    write_file("workers = 2\n");
    FILE *file = fopen(path, "a");
    assert_int_equal(fwrite("\0workers = 3\n", 1, 13, file), 13);
    fclose(file);
    char *argv[] = {(char *)"rosterd", (char *)"--config", path};
    options_free(&options);
    assert_false(options_parse(&options, 3, argv, &fault));
    assert_non_null(strstr(fault.text, ": it is not text"));
}

/* The fault names the file, the line and the key. */
static void every_key_refuses_what_it_cannot_be(void **state)
{
    static const char *const bad[] = {"-1", "", "99999999999999999999999", "1x", "\x01"};
    (void)state;
    for (size_t i = 0; i < OPTIONS_COUNT; i++) {
        const struct option *option = &option_table[i];
        if (option->rule == OPTION_COMMAND_LINE)
            continue;
        for (size_t k = 0; k < sizeof(bad) / sizeof(bad[0]); k++) {
            char text[200], expected[100];
            if (option->type == OPTION_PATH || option->type == OPTION_PATHS)
                if (bad[k][0] != '\0')
                    continue; /* any other text may be a path */
            snprintf(text, sizeof(text), "%s = %s\n", option->name, bad[k]);
            snprintf(expected, sizeof(expected), "%s:1: %s: ", path, option->name);
            assert_false(parse(text, NULL));
            assert_int_equal(strncmp(fault.text, expected, strlen(expected)), 0);
        }
    }
}

static char *printed(void (*print)(FILE *out))
{
    static char *text; /* static, because fclose() writes to both */
    static size_t len;
    FILE *out = open_memstream(&text, &len);
    print(out);
    fclose(out);
    return text;
}

static void dump_to(FILE *out)
{
    option_print_config(&options, out);
}

static void dump_says_where_values_came_from_and_can_be_read_again(void **state)
{
    char expected[128];
    (void)state;
    assert_true(parse("workers = 3\nlisten = 127.0.0.1:1\nkeepalive-time = never\n",
                      "--max-message-size", "2097152", NULL));
    char *first = printed(dump_to);
    snprintf(expected, sizeof(expected), "workers = 3 ; %s:1\n", path);
    assert_non_null(strstr(first, expected));
    assert_non_null(strstr(first, "max-message-size = 2M ; command line\n"));
    assert_non_null(strstr(first, "drain-timeout = 30s ; default\n"));
    assert_non_null(strstr(first, "# log-file has no value ; default\n"));
    assert_non_null(strstr(first, "keepalive-time = never ; "));
    assert_true(parse(first, NULL));
    char *again = printed(dump_to);
    for (char *a = first, *b = again; *a != '\0';) { /* the same, except for the origins */
        size_t len = strcspn(a, ";\n");
        assert_int_equal(strcspn(b, ";\n"), len);
        assert_memory_equal(a, b, len);
        a += strcspn(a, "\n") + 1;
        b += strcspn(b, "\n") + 1;
    }
    free(first);
    free(again);
}

static void one_table_feeds_help_manual_sample_and_completion(void **state)
{
    (void)state;
    char *help = printed(option_print_help), *sample = printed(option_print_sample);
    char *words = printed(option_print_words);
    for (size_t i = 0; i < OPTIONS_COUNT; i++) {
        char text[80];
        const struct option *option = &option_table[i];
        bool key = option->rule != OPTION_COMMAND_LINE;
        snprintf(text, sizeof(text), "\n  --%s ", option->name);
        assert_non_null(strstr(help, text));
        snprintf(text, sizeof(text), "\n#%s =", option->name);
        assert_int_equal(strstr(sample, text) != NULL, key);
        snprintf(text, sizeof(text), "\n%s ", option->name);
        assert_true(i == 0 || strstr(words, text) != NULL);
    }
    /* the values that the sample shows as defaults can be read */
    for (char *at = strstr(sample, "\n#"); at != NULL; at = strstr(at + 1, "\n#"))
        if (at[2] != ' ' && strstr(at, " = ") != NULL && strstr(at, " = ") < strchr(at + 1, '\n'))
            at[1] = ' ';
    assert_true(parse(sample, NULL));
    for (const char *line = help; *line != '\0'; line += strcspn(line, "\n") + 1)
        assert_in_range(strcspn(line, "\n"), 0, 80);
    free(help);
    free(sample);
    free(words);
}

/* A faulty row fails here and not at a user's site. */
static void every_row_is_consistent(void **state)
{
    static const enum option_holds holds[] = {
        [OPTION_LISTEN] = OPTION_HOLDS_ADDRESSES,  [OPTION_COUNT] = OPTION_HOLDS_NUMBER,
        [OPTION_SIZE] = OPTION_HOLDS_NUMBER,       [OPTION_TIME] = OPTION_HOLDS_NUMBER,
        [OPTION_LIFETIME] = OPTION_HOLDS_NUMBER,   [OPTION_SEGMENT] = OPTION_HOLDS_TEXT,
        [OPTION_CHOICE] = OPTION_HOLDS_NUMBER,     [OPTION_CPUS] = OPTION_HOLDS_TEXT,
        [OPTION_PATH] = OPTION_HOLDS_TEXT,         [OPTION_PATHS] = OPTION_HOLDS_PATHS,
        [OPTION_PID] = OPTION_HOLDS_NUMBER,        [OPTION_FLAG] = OPTION_HOLDS_BOOL,
        [OPTION_DURABILITY] = OPTION_HOLDS_NUMBER,
    };
    (void)state;
    for (size_t i = 0; i < OPTIONS_COUNT; i++) {
        const struct option *option = &option_table[i];
        assert_ptr_equal(option_find(option->name, strlen(option->name)), option);
        if (option->holds != holds[option->type] || option->min > option->max ||
            (option->words != NULL) != (option->type == OPTION_CHOICE) ||
            (option->type == OPTION_FLAG && option->rule != OPTION_COMMAND_LINE) ||
            (option->letters != NULL && option->type != OPTION_FLAG) || option->help[0] == '\0' ||
            option->help[strlen(option->help) - 1] == '.' ||
            (option->more != NULL && option->more[strlen(option->more) - 1] != '.') ||
            (option_is_list(option) && option->rule == OPTION_RESTARTS))
            fail_msg("the row of %s is not consistent", option->name);
        options_free(&options);
        memset(&options, 0, sizeof(options));
        if (!option_set_default(&options, option, &fault))
            fail_msg("the default of %s is not a value: %s", option->name, fault.text);
        char text[OPTION_TEXT];
        option_format_bounds(option, text, sizeof(text));
        assert_true(strlen(text) < sizeof(text) - 1);
    }
}

static void a_reload_keeps_and_names_what_only_a_restart_changes(void **state)
{
    static struct options before;
    char names[256];
    (void)state;
    assert_true(parse("workers = 2\nsegment = /a\nmax-users = 10\n", NULL));
    before = options;
    memset(&options, 0, sizeof(options));
    assert_true(parse("workers = 4\nsegment = /b\nmax-users = 20\nunique = none\n", NULL));
    assert_true(options_keep_fixed(&options, &before, names, sizeof(names), &fault));
    assert_string_equal(names, "segment, max-users");
    assert_string_equal(options.segment, "/a");
    assert_int_equal(options.max_users, 10);
    assert_int_equal(options.workers, 4);
    options_free(&before);
    assert_string_equal(options.segment, "/a");
}

static int make_path(void **state)
{
    (void)state;
    strcpy(path, "/tmp/rosterd-config-XXXXXX");
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_path(void **state)
{
    (void)state;
    options_free(&options);
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_the_long_options),
        cmocka_unit_test(command_line_wins_and_replaces_lists),
        cmocka_unit_test(fault_names_file_line_key_and_what_is_expected),
        cmocka_unit_test(long_line_is_refused),
        cmocka_unit_test(file_that_cannot_be_read_is_named),
        cmocka_unit_test(file_with_a_nul_byte_is_refused),
        cmocka_unit_test(every_key_refuses_what_it_cannot_be),
        cmocka_unit_test(dump_says_where_values_came_from_and_can_be_read_again),
        cmocka_unit_test(one_table_feeds_help_manual_sample_and_completion),
        cmocka_unit_test(every_row_is_consistent),
        cmocka_unit_test(a_reload_keeps_and_names_what_only_a_restart_changes),
    };
    return cmocka_run_group_tests(tests, make_path, remove_path);
}
