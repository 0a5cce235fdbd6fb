/* SPDX-License-Identifier: MIT */
/* load of users whose unique keys change hands. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "shm/error.h"
#include "tests/inspect/tool.h"
#include "tests/inspect/users_file.h"

#define ID_4 "04040404-0404-0404-0404-040404040404"

#define USER_OF(id, name, email)                                                                   \
    "{\"id\":\"" id "\",\"username\":\"" name "\",\"email\":\"" email "\",\"created_at\":1,"       \
    "\"roles\":[]}\n"

static void load_file(const char *summary)
{
    struct tool_result got = tool_run(ON_SEGMENT, "load", file_path(), NULL);
    assert_string_equal(got.err, "");
    assert_string_equal(got.out, summary);
    assert_int_equal(got.exit, 0);
    tool_free(&got);
}

static void load_lines(const char *lines, const char *summary)
{
    file_write(lines);
    load_file(summary);
}

static void assert_users(const char *lines)
{
    char *users = dumped_users();
    assert_string_equal(users, lines);
    free(users);
    segment_assert_verified();
}

#define THREE                                                                                      \
    USER_OF(ID_1, "ann", "ann@a") USER_OF(ID_2, "bob", "bob@a") USER_OF(ID_3, "cid", "cid@a")

static int setup(void **state)
{
    (void)state;
    segment_open_as((struct shm_config){
        .size = UINT64_C(1) << 30, .max_users = 20000, .unique = 3, .key_of = user_key_of});
    load_lines(THREE, "3 inserted, 0 updated, 0 unchanged, 0 refused\n");
    return 0;
}

static void assert_loads_as_it_is(const char *lines, const char *summary)
{
    load_lines(lines, summary);
    assert_users(lines);
    char again[64];
    unsigned users = 0;
    for (const char *at = lines; (at = strchr(at, '\n')) != NULL; at++)
        users++;
    snprintf(again, sizeof(again), "0 inserted, 0 updated, %u unchanged, 0 refused\n", users);
    load_file(again);
}

static void two_users_swap_their_names(void **state)
{
    (void)state;
    assert_loads_as_it_is(USER_OF(ID_1, "bob", "ann@a") USER_OF(ID_2, "ann", "bob@a")
                              USER_OF(ID_3, "cid", "cid@a"),
                          "0 inserted, 2 updated, 1 unchanged, 0 refused\n");
}

static void two_users_swap_names_and_emails(void **state)
{
    (void)state;
    assert_loads_as_it_is(USER_OF(ID_1, "bob", "bob@A") USER_OF(ID_2, "ann", "ann@a")
                              USER_OF(ID_3, "cid", "cid@a"),
                          "0 inserted, 2 updated, 1 unchanged, 0 refused\n");
}

static void three_users_change_names_in_a_ring(void **state)
{
    (void)state;
    assert_loads_as_it_is(USER_OF(ID_1, "bob", "cid@a") USER_OF(ID_2, "cid", "ann@a")
                              USER_OF(ID_3, "ann", "bob@a"),
                          "0 inserted, 3 updated, 0 unchanged, 0 refused\n");
}

static void names_move_on_in_either_order(void **state)
{
    (void)state;
    assert_loads_as_it_is(USER_OF(ID_1, "bob", "ann@a") USER_OF(ID_2, "cid", "bob@a")
                              USER_OF(ID_3, "dan", "cid@a"),
                          "0 inserted, 3 updated, 0 unchanged, 0 refused\n");
    assert_loads_as_it_is(USER_OF(ID_1, "ann", "ann@a") USER_OF(ID_2, "bob", "bob@a")
                              USER_OF(ID_3, "cid", "cid@a"),
                          "0 inserted, 3 updated, 0 unchanged, 0 refused\n");
}

static void new_user_gets_a_name_that_is_given_up_later(void **state)
{
    (void)state;
    load_lines(USER_OF(ID_4, "ann", "bob@a") USER_OF(ID_2, "bob", "") USER_OF(ID_1, "eve", ""),
               "1 inserted, 2 updated, 0 unchanged, 0 refused\n");
    assert_users(USER_OF(ID_1, "eve", "") USER_OF(ID_2, "bob", "") USER_OF(ID_3, "cid", "cid@a")
                     USER_OF(ID_4, "ann", "bob@a"));
}

/* Eve wants a name of somebody whom the file does not move: nobody has changed. */
static void nothing_changes_where_one_user_keeps_its_name(void **state)
{
    static const char *const files[] = {
        USER_OF(ID_1, "bob", "ann@a") USER_OF(ID_2, "cid", "bob@a"),
        USER_OF(ID_1, "bob", "ann@a") USER_OF(ID_2, "ann", "cid@a"),
        USER_OF(ID_1, "bob", "ann@a") USER_OF(ID_2, "bob", "x@a"),
        USER_OF(ID_1, "bob", "bob@a") USER_OF(ID_2, "ann", "bob@a"),
        USER_OF(ID_1, "bob", "ann@a") USER_OF(ID_2, "cid", "") USER_OF(ID_3, "cid", ""),
        USER_OF(ID_4, "bob", "") USER_OF(ID_2, "cid", "bob@a"),
        /* Two users of the chain want the same name. */
        USER_OF(ID_1, "bob", "cid@a") USER_OF(ID_2, "ann", "bob@a") USER_OF(ID_3, "ann", ""),
        USER_OF(ID_1, "bob", "cid@a") USER_OF(ID_2, "ann", "bob@a") USER_OF(ID_3, "bob", ""),
    };
    (void)state;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        file_write(files[i]);
        struct tool_result got = tool_run(ON_SEGMENT, "load", file_path(), NULL);
        tool_assert_failed(&got, 1, "which is unique; nothing is loaded");
        assert_non_null(strstr(got.err, ":1: another user has this"));
        assert_string_equal(got.out, "0 inserted, 0 updated, 0 unchanged, 1 refused\n");
        tool_free(&got);
        assert_users(THREE);
    }
}

static void lines_before_are_not_taken_for_later_ones(void **state)
{
    (void)state;
    file_write(USER_OF(ID_2, "cid", "") USER_OF(ID_1, "bob", "ann@a"));
    struct tool_result got = tool_run(ON_SEGMENT, "load", "--keep-going", file_path(), NULL);
    assert_int_equal(got.exit, 1);
    assert_string_equal(got.out, "0 inserted, 0 updated, 0 unchanged, 2 refused\n");
    assert_non_null(strstr(got.err, ":1: another user has this username"));
    assert_non_null(strstr(got.err, ":2: another user has this username"));
    tool_free(&got);
    assert_users(THREE);
}

/* A pipe cannot be read a second time. */
static void pipe_keeps_the_order_of_its_lines(void **state)
{
    int in[2], null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    (void)state;
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    pid_t pid = tool_start(in[0], null, null, ON_SEGMENT, "load", "-", NULL);
    close(in[0]);
    static const char lines[] = USER_OF(ID_1, "bob", "ann@a") USER_OF(ID_2, "ann", "bob@a");
    assert_int_equal(write(in[1], lines, sizeof(lines) - 1), sizeof(lines) - 1);
    close(in[1]);
    assert_int_equal(tool_wait(pid), 1);
    assert_users(THREE);
    close(null);
    /* A file as standard input can. */
    file_write(lines);
    int file = open(file_path(), O_RDONLY | O_CLOEXEC);
    assert_int_equal(tool_wait(tool_start(file, STDERR_FILENO, -1, ON_SEGMENT, "load", "-", NULL)),
                     0);
    close(file);
    assert_users(USER_OF(ID_1, "bob", "ann@a") USER_OF(ID_2, "ann", "bob@a")
                     USER_OF(ID_3, "cid", "cid@a"));
}

/* What a load leaves that is killed inside a ring. */
static void ring_that_was_left_is_finished_by_the_next_load(void **state)
{
    static const char *const left[] = {
        USER_OF(ID_1, "load-1", "ann@a"),
        USER_OF(ID_1, "load-1", "ann@a") USER_OF(ID_2, "ann", "bob@a"),
    };
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        load_lines(left[i], i == 0 ? "0 inserted, 1 updated, 0 unchanged, 0 refused\n"
                                   : "0 inserted, 2 updated, 0 unchanged, 0 refused\n");
        file_write(USER_OF(ID_1, "bob", "ann@a") USER_OF(ID_2, "ann", "bob@a"));
        struct tool_result got = tool_run(ON_SEGMENT, "load", file_path(), NULL);
        assert_int_equal(got.exit, 0);
        tool_free(&got);
        assert_users(USER_OF(ID_1, "bob", "ann@a") USER_OF(ID_2, "ann", "bob@a")
                         USER_OF(ID_3, "cid", "cid@a"));
        file_write(THREE);
        got = tool_run(ON_SEGMENT, "load", file_path(), NULL);
        assert_int_equal(got.exit, 0);
        tool_free(&got);
        assert_users(THREE);
    }
}

/* Also with what the file does not say: a swap keeps disabled and labels. */
static void swap_leaves_the_hidden_part(void **state)
{
    (void)state;
    struct tool_result got =
        tool_run(ON_SEGMENT, "update", ID_1, "--label", "a=1", "--disable", NULL);
    assert_int_equal(got.exit, 0);
    tool_free(&got);
    got = tool_run(ON_SEGMENT, "update", ID_2, "--label", "b=2", NULL);
    assert_int_equal(got.exit, 0);
    tool_free(&got);
    load_lines(USER_OF(ID_1, "bob", "ann@a") USER_OF(ID_2, "ann", "bob@a"),
               "0 inserted, 2 updated, 0 unchanged, 0 refused\n");
    got = tool_run("--json", ON_SEGMENT, "get", "username:bob", NULL);
    assert_non_null(strstr(got.out, "\"disabled\":true,\"labels\":{\"a\":\"1\"}"));
    tool_free(&got);
    got = tool_run("--json", ON_SEGMENT, "get", "username:ann", NULL);
    assert_non_null(strstr(got.out, "\"disabled\":false,\"labels\":{\"b\":\"2\"}"));
    tool_free(&got);
}

/* Lines of the first ones of so many users. */
static void write_some_shifted(unsigned lines, unsigned users, unsigned by)
{
    FILE *file = fopen(file_path(), "w");
    assert_non_null(file);
    for (unsigned i = 0; i < lines; i++)
        fprintf(file,
                "{\"id\":\"%08x-0000-4000-8000-000000000000\",\"username\":\"user%u\",\"email\":"
                "\"\",\"created_at\":1,\"roles\":[]}\n",
                i, (i + by) % users);
    assert_int_equal(fclose(file), 0);
}

static void write_shifted(unsigned users, unsigned by)
{
    write_some_shifted(users, users, by);
}

/* Everybody gets the next one's name, the last one the first one's: one ring of all. A longer chain
 * than that is refused, and takes no stack and no time. */
static void long_ring_is_turned_and_a_longer_one_refused(void **state)
{
    enum { RING = 9000, TOO_LONG = 12000 };
    char summary[96];
    (void)state;
    write_shifted(RING, 0);
    load_file("9000 inserted, 0 updated, 0 unchanged, 0 refused\n");
    write_shifted(RING, 1);
    load_file("0 inserted, 9000 updated, 0 unchanged, 0 refused\n");
    load_file("0 inserted, 0 updated, 9000 unchanged, 0 refused\n");
    write_shifted(RING, 0);
    load_file("0 inserted, 9000 updated, 0 unchanged, 0 refused\n");
    segment_assert_verified();

    write_shifted(TOO_LONG, 0);
    snprintf(summary, sizeof(summary), "%d inserted, 0 updated, %d unchanged, 0 refused\n",
             TOO_LONG - RING, RING);
    load_file(summary);
    write_shifted(TOO_LONG, 1);
    struct tool_result got = tool_run(ON_SEGMENT, "load", file_path(), NULL);
    tool_assert_failed(&got, 1, ":1: another user has this username, which is unique; nothing");
    tool_free(&got);
}

/* Everybody wants the next one's name, and the last one is not in the file. Were the chain walked
 * for each line, this would take minutes. */
static void chain_that_is_stuck_is_walked_once(void **state)
{
    enum { LINES = 5000, SECONDS = 30 };
    (void)state;
    write_shifted(LINES + 1, 0);
    load_file("5001 inserted, 0 updated, 0 unchanged, 0 refused\n");
    write_some_shifted(LINES, LINES + 1, 1);
    time_t began = time(NULL);
    struct tool_result got = tool_run(ON_SEGMENT, "load", "--keep-going", file_path(), NULL);
    assert_true(time(NULL) - began < SECONDS);
    assert_int_equal(got.exit, 1);
    assert_string_equal(got.out, "0 inserted, 0 updated, 0 unchanged, 5000 refused\n");
    tool_free(&got);
    segment_assert_verified();
}

static int teardown(void **state)
{
    file_remove();
    return segment_teardown(state);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(two_users_swap_their_names),
        TEST(two_users_swap_names_and_emails),
        TEST(three_users_change_names_in_a_ring),
        TEST(names_move_on_in_either_order),
        TEST(new_user_gets_a_name_that_is_given_up_later),
        TEST(nothing_changes_where_one_user_keeps_its_name),
        TEST(lines_before_are_not_taken_for_later_ones),
        TEST(pipe_keeps_the_order_of_its_lines),
        TEST(ring_that_was_left_is_finished_by_the_next_load),
        TEST(swap_leaves_the_hidden_part),
        TEST(long_ring_is_turned_and_a_longer_one_refused),
        TEST(chain_that_is_stuck_is_walked_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
