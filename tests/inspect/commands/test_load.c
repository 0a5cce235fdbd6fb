/* SPDX-License-Identifier: MIT */
/* load, with and without a live server. */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "shm/core/mapping.h"
#include "shm/error.h"
#include "tests/inspect/tool.h"
#include "tests/inspect/users_file.h"

enum { MANY = 3000 };

static int teardown(void **state)
{
    file_remove();
    return segment_teardown(state);
}

static void empty_segment(void)
{
    segment_open();
    segment_close();
}

static uint64_t version_now(void)
{
    struct tool_result got = tool_run("--json", ON_SEGMENT, "status", NULL);
    struct json_object *status = json_parse(got.out);
    uint64_t version = json_number_field(status, "version");
    json_object_put(status);
    tool_free(&got);
    return version;
}

/* Loads the test's file and asserts that this line is all that is printed. */
static void assert_loads(const char *summary)
{
    struct tool_result got = tool_run(ON_SEGMENT, "load", file_path(), NULL);
    assert_string_equal(got.err, "");
    assert_string_equal(got.out, summary);
    assert_int_equal(got.exit, 0);
    tool_free(&got);
}

static void assert_load_fails(const char *what, const char *summary)
{
    struct tool_result got = tool_run(ON_SEGMENT, "load", file_path(), NULL);
    tool_assert_failed(&got, 1, what);
    assert_string_equal(got.out, summary);
    tool_free(&got);
}

/* ---- what a load does ---- */

static void a_loaded_dump_gives_the_same_dump(void **state)
{
    struct shm_store *store = segment_open();
    ProtobufCBinaryData roles[32];
    char roles_bytes[32][64];
    Userservice__User odd[] = {
        user_make(BYTES("a\"\\\n\x1b]0;\a"), BYTES("\xE2\x80\xAE@\t"), INT64_MIN),
        user_make(BYTES("Zo\xC3\xAB \xF0\x9F\x98\x80"), BYTES(""), -1),
        user_make(BYTES("\xEF\xBF\xBD"), BYTES("x@\xE2\x80\xA8"), INT64_MAX),
        user_make(BYTES("none"), BYTES("n@example.org"), 0),
        user_make(BYTES("most"), BYTES("m@example.org"), 1),
    };
    (void)state;
    odd[3].n_roles = 0;
    for (size_t i = 0; i < 32; i++) {
        memset(roles_bytes[i], 'r', 64);
        roles_bytes[i][0] = (char)('A' + i);
        roles[i] = (ProtobufCBinaryData){64, (uint8_t *)roles_bytes[i]};
    }
    odd[4].n_roles = 32;
    odd[4].roles = roles;
    segment_insert_three(store);
    for (uint8_t i = 0; i < 5; i++)
        segment_insert(store, (uint8_t)(200 - i), &odd[i]);
    char *before = dumped_users();
    struct tool_result got = tool_run(ON_SEGMENT, "dump", "--output", file_path(), NULL);
    assert_int_equal(got.exit, 0);
    tool_free(&got);
    segment_close();
    segment_remove();

    empty_segment();
    assert_loads("8 inserted, 0 updated, 0 unchanged, 0 refused\n");
    char *after = dumped_users();
    assert_string_equal(after, before);
    free(before);
    free(after);
    segment_assert_verified();
}

static void users_keep_their_order_id_time_and_roles(void **state)
{
    (void)state;
    empty_segment();
    file_write_users(0, MANY);
    assert_loads("3000 inserted, 0 updated, 0 unchanged, 0 refused\n");
    assert_table_has(MANY);
    segment_assert_verified();
}

static void a_user_is_stored_as_the_server_would_store_it(void **state)
{
    struct shm_store *store = segment_open();
    uint8_t id[UUID_SIZE], body[USER_BODY_MAX];
    struct shm_user user;
    size_t len = user_of(id, body, 5);
    (void)state;
    file_write_users(0, 10);
    assert_loads("10 inserted, 0 updated, 0 unchanged, 0 refused\n");
    struct shm_actor *actor = segment_join(store, SHM_ACTOR_WORKER, 0);
    assert_int_equal(shm_user_find(actor, id, &user), SHM_OK);
    assert_int_equal(user.body_len, len);
    assert_memory_equal(user.body, body, len);
    assert_int_equal(user.seq, 6);
    shm_actor_leave(actor);
}

static void loading_again_changes_nothing(void **state)
{
    (void)state;
    empty_segment();
    file_write_users(0, MANY);
    assert_loads("3000 inserted, 0 updated, 0 unchanged, 0 refused\n");
    uint64_t version = version_now();
    assert_int_equal(version, (MANY + 255) / 256); /* one commit per chunk */
    assert_loads("0 inserted, 0 updated, 3000 unchanged, 0 refused\n");
    assert_int_equal(version_now(), version);
}

static void new_users_are_inserted_and_changed_ones_updated_in_the_files_order(void **state)
{
    (void)state;
    empty_segment();
    file_write_users(0, 2);
    assert_loads("2 inserted, 0 updated, 0 unchanged, 0 refused\n");
    FILE *file = fopen(file_path(), "w");
    char line[FILE_LINE_SIZE], *roles;
    assert_non_null(file);
    for (unsigned i = 0; i < 5; i++) {
        line_of(line, i);
        roles = strstr(line, "[\"user\"");
        if (i == 1) /* other roles of the same length */
            roles = memcpy(roles, "[\"ruse\"", 7);
        fputs(line, file);
    }
    line_of(line, 3); /* a user that this file has just inserted, twice */
    memcpy(strstr(line, "[\"user\""), "[\"resu\"", 7);
    fputs(line, file);
    fputs(line, file);
    fclose(file);
    assert_loads("3 inserted, 2 updated, 2 unchanged, 0 refused\n");
    char *users = dumped_users(), *at = users;
    static const char *const roles_now[] = {"[\"user\",\"r0\"]", "[\"ruse\",\"r1\"]",
                                            "[\"user\",\"r2\"]", "[\"resu\",\"r3\"]",
                                            "[\"user\",\"r4\"]"};
    for (unsigned i = 0; i < 5; i++) {
        size_t len = line_of(line, i);
        char *now = strstr(line, "[\"user\"");
        memcpy(now, roles_now[i], strlen(roles_now[i]));
        assert_memory_equal(at, line, len);
        at += len;
    }
    assert_string_equal(at, "");
    free(users);
    segment_assert_verified();
}

static void json_reports_the_counts_as_numbers(void **state)
{
    (void)state;
    empty_segment();
    file_write_users(0, 300);
    struct tool_result got = tool_run("--json", ON_SEGMENT, "load", file_path(), NULL);
    assert_string_equal(got.out, "{\"inserted\":300,\"updated\":0,\"unchanged\":0,\"refused\":0,"
                                 "\"without_password\":0,\"last_line\":300}\n");
    tool_free(&got);
}

static void blank_lines_crlf_and_a_last_line_without_newline_are_taken(void **state)
{
    char first[FILE_LINE_SIZE], second[FILE_LINE_SIZE], text[3 * FILE_LINE_SIZE];
    (void)state;
    empty_segment();
    first[line_of(first, 0) - 1] = '\0';
    second[line_of(second, 1) - 1] = '\0';
    snprintf(text, sizeof(text), "\n  \r\n%s\r\n\t\n%s", first, second);
    file_write(text);
    assert_loads("2 inserted, 0 updated, 0 unchanged, 0 refused\n");
    assert_table_has(2);
}

static void a_file_without_users_is_an_error_and_a_dump_of_none_is_not(void **state)
{
    static const char *const files[] = {"", "\n", " \r\n\n"};
    (void)state;
    empty_segment();
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        file_write(files[i]);
        assert_load_fails("the file has no users and no header of a dump; nothing is loaded",
                          "0 inserted, 0 updated, 0 unchanged, 0 refused\n");
    }
    file_write("{\"rosterd_dump\":1,\"segment\":\"/x\",\"version\":0,\"users\":0}\n"
               "{\"rosterd_dump_end\":1,\"users\":0}\n");
    assert_loads("0 inserted, 0 updated, 0 unchanged, 0 refused\n");
}

/* ---- lines that are refused ---- */

/* Writes the users [0, count), but `line` as line number `bad` (from 1). */
static void write_users_but(unsigned count, unsigned bad, const char *line)
{
    FILE *file = fopen(file_path(), "w");
    assert_non_null(file);
    lines_of(file, 0, bad - 1);
    fprintf(file, "%s\n", line);
    lines_of(file, bad, count);
    fclose(file);
}

static void a_bad_line_is_named_and_ends_the_load_before_its_chunk(void **state)
{
    char what[256];
    (void)state;
    empty_segment();
    write_users_but(1000, 300,
                    "{\"id\":\"" ID_1 "\",\"username\":\"a\",\"email\":\"b\","
                    "\"created_at\":1,\"roles\":[]}");
    snprintf(what, sizeof(what),
             "shm-inspect: %s:300: email must have one @ with text on both sides; "
             "loaded up to line 256 (256 users)\n",
             file_path());
    assert_load_fails(what, "256 inserted, 0 updated, 0 unchanged, 1 refused\n");
    assert_table_has(256);
    write_users_but(10, 3, "{\"id\":\xFF}");
    snprintf(what, sizeof(what), "%s:3: the line is not UTF-8; nothing is loaded\n", file_path());
    assert_load_fails(what, "0 inserted, 0 updated, 0 unchanged, 1 refused\n");
    assert_table_has(256);
}

static void keep_going_passes_over_bad_lines(void **state)
{
    char what[96];
    (void)state;
    empty_segment();
    FILE *file = fopen(file_path(), "w");
    assert_non_null(file);
    lines_of(file, 0, 300);
    fputs("{\n", file);
    for (size_t i = 0; i < 70000; i++)
        fputc('x', file);
    fputc('\n', file);
    lines_of(file, 300, 600);
    fputs("hello", file);
    fclose(file);
    struct tool_result got = tool_run(ON_SEGMENT, "load", "--keep-going", file_path(), NULL);
    assert_int_equal(got.exit, 1);
    assert_string_equal(got.out, "600 inserted, 0 updated, 0 unchanged, 3 refused\n");
    snprintf(what, sizeof(what), "%s:301: the line ends inside its JSON object\n", file_path());
    assert_non_null(strstr(got.err, what));
    snprintf(what, sizeof(what), "%s:302: the line is longer than 65536 bytes\n", file_path());
    assert_non_null(strstr(got.err, what));
    snprintf(what, sizeof(what), "%s:603: not JSON: ", file_path());
    assert_non_null(strstr(got.err, what));
    tool_free(&got);
    assert_table_has(600);
}

static const char *with_frame(const char *header, unsigned users, const char *after)
{
    FILE *file = fopen(file_path(), "w");
    assert_non_null(file);
    fprintf(file, "%s\n", header);
    lines_of(file, 0, users);
    fputs(after, file);
    fclose(file);
    return file_path();
}

#define HEADER_3  "{\"rosterd_dump\":1,\"segment\":\"/x\",\"version\":9,\"users\":3}"
#define TRAILER_3 "{\"rosterd_dump_end\":1,\"users\":3}\n"

static void a_dump_that_is_not_whole_is_refused(void **state)
{
    (void)state;
    empty_segment();
    with_frame(HEADER_3, 3, "");
    assert_load_fails("truncated dump: its trailer is missing; loaded up to line 4 (3 users)",
                      "3 inserted, 0 updated, 0 unchanged, 0 refused\n");
    with_frame(HEADER_3, 2, TRAILER_3);
    assert_load_fails(
        ":4: damaged dump: 3 users by its header, 3 by its trailer, but 2 lines of users",
        "0 inserted, 0 updated, 0 unchanged, 1 refused\n");
    with_frame(HEADER_3, 3, "{\"rosterd_dump_end\":1,\"users\":2}\n");
    assert_load_fails(":5: damaged dump", "0 inserted, 0 updated, 0 unchanged, 1 refused\n");
    with_frame(HEADER_3, 3, "{\"rosterd_dump_end\":1,\"us");
    assert_load_fails(":5: the line ends inside its JSON object",
                      "0 inserted, 0 updated, 0 unchanged, 1 refused\n");
    with_frame(HEADER_3, 3, TRAILER_3 "x\n");
    assert_load_fails(":6: a line after the end of the dump",
                      "0 inserted, 0 updated, 0 unchanged, 1 refused\n");
    with_frame(HEADER_3, 3, HEADER_3 "\n");
    assert_load_fails(":5: the header of a dump in the middle of a file",
                      "0 inserted, 0 updated, 0 unchanged, 1 refused\n");
    with_frame("", 3, TRAILER_3);
    assert_load_fails(":5: the trailer of a dump without a header",
                      "0 inserted, 0 updated, 0 unchanged, 1 refused\n");
    with_frame("{\"rosterd_dump\":3,\"users\":3}", 3, TRAILER_3);
    assert_load_fails(
        ":1: a dump of format 3; this program reads formats 1 to 2; nothing is loaded",
        "0 inserted, 0 updated, 0 unchanged, 1 refused\n");
    with_frame(HEADER_3, 3, TRAILER_3);
    assert_loads("0 inserted, 0 updated, 3 unchanged, 0 refused\n");
}

static void a_file_that_is_not_there_or_no_file_is_named(void **state)
{
    (void)state;
    empty_segment();
    assert_load_fails("cannot open: No such file", "");
    struct tool_result got = tool_run(ON_SEGMENT, "load", ".", NULL);
    tool_assert_failed(&got, 1, ".: cannot read: Is a directory; nothing is loaded");
    tool_free(&got);
    got = tool_run(ON_SEGMENT, "load", NULL);
    tool_assert_failed(&got, 2, "load: FILE is missing");
    tool_free(&got);
    got = tool_run(ON_SEGMENT, "load", "a", "b", NULL);
    tool_assert_failed(&got, 2, "load: unexpected argument: b");
    tool_free(&got);
    segment_remove();
    file_write("");
    got = tool_run(ON_SEGMENT, "load", file_path(), NULL);
    tool_assert_failed(&got, 3, "no such segment");
    tool_free(&got);
}

/* ---- what the table refuses ---- */

static void unique_segment(void)
{
    segment_open_as((struct shm_config){
        .size = UINT64_C(1) << 30, .max_users = 10000, .unique = 3, .key_of = user_key_of});
    segment_close();
}

#define USER_OF(id, name, email)                                                                   \
    "{\"id\":\"" id "\",\"username\":\"" name "\",\"email\":\"" email "\","                        \
    "\"created_at\":1,\"roles\":[]}\n"

static void a_unique_field_of_another_user_is_refused_by_line(void **state)
{
    (void)state;
    unique_segment();
    file_write(USER_OF(ID_1, "ada", "ada@example.org") USER_OF(ID_2, "bob", ""));
    assert_loads("2 inserted, 0 updated, 0 unchanged, 0 refused\n");
    file_write(USER_OF(ID_2, "bob", "") USER_OF(ID_3, "zoe", "ada@EXAMPLE.org"));
    assert_load_fails(":2: another user has this email, which is unique; nothing is loaded",
                      "0 inserted, 0 updated, 0 unchanged, 1 refused\n");
    file_write(USER_OF(ID_3, "bob", "bob@example.org"));
    assert_load_fails(":1: another user has this username, which is unique",
                      "0 inserted, 0 updated, 0 unchanged, 1 refused\n");
    file_write(USER_OF(ID_1, "bob", "ada@example.org"));
    assert_load_fails(":1: another user has this username, which is unique",
                      "0 inserted, 0 updated, 0 unchanged, 1 refused\n");
    file_write(USER_OF(ID_1, "ada", "ada@Example.org")); /* equal but for the case of the domain */
    assert_loads("0 inserted, 1 updated, 0 unchanged, 0 refused\n");
    segment_assert_verified();
}

/* The second user takes the name that the first one gives up. */
static void users_get_the_names_of_the_file(void **state)
{
    (void)state;
    unique_segment();
    file_write(USER_OF(ID_1, "ada", "ada@a") USER_OF(ID_2, "bob", "bob@a")
                   USER_OF(ID_3, "cid", ""));
    assert_loads("3 inserted, 0 updated, 0 unchanged, 0 refused\n");
    file_write(USER_OF(ID_1, "eve", "ada@a") USER_OF(ID_2, "ada", "") USER_OF(ID_3, "cid", "c@a"));
    assert_loads("0 inserted, 3 updated, 0 unchanged, 0 refused\n");
    assert_loads("0 inserted, 0 updated, 3 unchanged, 0 refused\n");
    segment_assert_verified();
}

static void keep_going_passes_over_users_that_the_table_refuses(void **state)
{
    (void)state;
    unique_segment();
    file_write_users(0, 300);
    assert_loads("300 inserted, 0 updated, 0 unchanged, 0 refused\n");
    FILE *file = fopen(file_path(), "w");
    assert_non_null(file);
    lines_of(file, 300, 310);
    fputs(USER_OF(ID_1, "user7", "") USER_OF(ID_2, "same", "") USER_OF(ID_3, "same", ""), file);
    lines_of(file, 0, 310);
    fclose(file);
    struct tool_result got = tool_run(ON_SEGMENT, "load", "--keep-going", file_path(), NULL);
    assert_int_equal(got.exit, 1);
    assert_string_equal(got.out, "11 inserted, 0 updated, 310 unchanged, 2 refused\n");
    assert_non_null(strstr(got.err, ":11: another user has this username"));
    assert_non_null(strstr(got.err, ":13: another user has this username"));
    assert_null(strstr(got.err, ":12:"));
    tool_free(&got);
    segment_assert_verified();
}

static void a_full_table_says_how_far_it_came(void **state)
{
    (void)state;
    segment_open_as((struct shm_config){.size = UINT64_C(1) << 30, .max_users = 600});
    segment_close();
    file_write_users(0, MANY);
    assert_load_fails("the table is full: max-users is 600; "
                      "loaded up to line 600 (600 users)",
                      "600 inserted, 0 updated, 0 unchanged, 0 refused\n");
    assert_table_has(600);
    file_write_users(0, 600);
    assert_loads("0 inserted, 0 updated, 600 unchanged, 0 refused\n");
    segment_assert_verified();
}

static void a_dump_that_does_not_fit_is_refused_before_its_first_user(void **state)
{
    (void)state;
    empty_segment();
    file_write_users(0, 300);
    assert_loads("300 inserted, 0 updated, 0 unchanged, 0 refused\n");
    struct tool_result got = tool_run(ON_SEGMENT, "dump", "--output", file_path(), NULL);
    assert_int_equal(got.exit, 0);
    tool_free(&got);
    segment_remove();
    segment_open_as((struct shm_config){.size = UINT64_C(1) << 30, .max_users = 299});
    segment_close();
    assert_load_fails("the dump has 300 users, but max-users is 299; nothing is loaded",
                      "0 inserted, 0 updated, 0 unchanged, 0 refused\n");
    assert_table_has(0);
    segment_open_as((struct shm_config){.size = UINT64_C(1) << 30, .max_users = 300});
    segment_close();
    char *dump = file_read(file_path());
    file_write_users(290, 305);
    assert_loads("15 inserted, 0 updated, 0 unchanged, 0 refused\n");
    file_write(dump);
    assert_load_fails(
        "290 users of the dump are new, but the table has room for only 285 (max-users); "
        "nothing is loaded",
        "0 inserted, 0 updated, 0 unchanged, 0 refused\n");
    free(dump);
}

static void a_segment_at_its_bound_says_how_far_it_came(void **state)
{
    enum { SIZE = 11 << 20 };
    (void)state;
    segment_open_as((struct shm_config){.size = SIZE, .max_users = 9000});
    segment_close();
    file_write_users(0, 9000);
    struct tool_result got = tool_run(ON_SEGMENT, "load", file_path(), NULL);
    tool_assert_failed(&got, 1,
                       "the segment is full: segment-size is 11534336 bytes; "
                       "loaded up to line ");
    unsigned loaded = (unsigned)strtoul(got.out, NULL, 10);
    assert_true(loaded > 1000 && loaded % 256 == 0);
    tool_free(&got);
    assert_table_has(loaded);
    segment_assert_verified();
}

/* ---- beside other processes ---- */

static void wait_for_users(struct shm_store *store, uint64_t users)
{
    struct shm_info info;
    for (int i = 0; i < 30000; i++) {
        shm_store_info(store, &info);
        if (info.users >= users)
            return;
        usleep(1000);
    }
    fail_msg("the table has %d users, not %d", (int)info.users, (int)users);
}

static int nowhere(void)
{
    static int fd = -1;
    if (fd < 0)
        fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    return fd;
}

/* A load that reads from a pipe of the test. */
struct feeding {
    pid_t pid;
    FILE *pipe;
};

static struct feeding feed_start(int err_fd)
{
    struct feeding feeding;
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    feeding.pid = tool_start(ends[0], nowhere(), err_fd, ON_SEGMENT, "load", "-", NULL);
    close(ends[0]);
    feeding.pipe = fdopen(ends[1], "w");
    assert_non_null(feeding.pipe);
    return feeding;
}

static int feed_end(struct feeding *feeding)
{
    fclose(feeding->pipe);
    return tool_wait(feeding->pid);
}

static void a_load_killed_in_the_middle_goes_on_where_it_was(void **state)
{
    struct shm_store *store = segment_open();
    unsigned fed = 0;
    (void)state;
    for (unsigned kills = 0; kills < 5; kills++) {
        struct feeding feeding = feed_start(-1);
        lines_of(feeding.pipe, 0, fed + 300 * (kills + 1));
        fed += 300 * (kills + 1);
        fflush(feeding.pipe);
        wait_for_users(store, fed / 256 * 256);
        kill(feeding.pid, SIGKILL);
        assert_int_equal(feed_end(&feeding), 128 + SIGKILL);
        segment_assert_verified();
    }
    file_write_users(0, 5000);
    struct tool_result got = tool_run("--json", ON_SEGMENT, "load", file_path(), NULL);
    struct json_object *counts = json_parse(got.out);
    assert_int_equal(got.exit, 0);
    assert_int_equal(json_number_field(counts, "unchanged"), fed / 256 * 256);
    assert_int_equal(json_number_field(counts, "inserted"), 5000 - fed / 256 * 256);
    json_object_put(counts);
    tool_free(&got);
    assert_table_has(5000);
    segment_assert_verified();
}

/* The kill may come in a commit, between two commits, or while the arena grows. */
static void a_load_killed_at_any_time_leaves_whole_chunks(void **state)
{
    enum { USERS = 20000 };
    struct shm_store *store = segment_open();
    struct shm_info info;
    (void)state;
    file_write_users(0, USERS);
    for (unsigned kills = 0; kills < 20; kills++) {
        pid_t pid = tool_start(-1, nowhere(), -1, ON_SEGMENT, "load", file_path(), NULL);
        shm_store_info(store, &info);
        wait_for_users(store, info.users + 256 < USERS ? info.users + 256 : USERS);
        usleep(kills * 100);
        kill(pid, SIGKILL);
        tool_wait(pid);
        shm_actor_reap(store);
        shm_store_info(store, &info);
        assert_true(info.users % 256 == 0 || info.users == USERS);
    }
    segment_assert_verified();
    struct tool_result got = tool_run(ON_SEGMENT, "load", file_path(), NULL);
    assert_int_equal(got.exit, 0);
    tool_free(&got);
    assert_table_has(USERS);
}

static void an_interrupted_load_says_how_far_it_came(void **state)
{
    struct shm_store *store = segment_open();
    FILE *err = tmpfile();
    char line[256] = {0};
    (void)state;
    assert_non_null(err);
    struct feeding feeding = feed_start(fileno(err));
    lines_of(feeding.pipe, 0, 300);
    fflush(feeding.pipe);
    wait_for_users(store, 256);
    kill(feeding.pid, SIGTERM);
    assert_int_equal(tool_wait(feeding.pid), 1);
    fclose(feeding.pipe);
    rewind(err);
    assert_non_null(fgets(line, sizeof(line), err));
    assert_string_equal(line, "shm-inspect: stdin: interrupted; loaded up to line 256 (256 "
                              "users)\n");
    fclose(err);
    assert_table_has(256);
}

/* A load that waits for input must delay no grace period and hold no lock. */
static void a_load_that_waits_for_input_holds_nobody_up(void **state)
{
    struct shm_store *store = segment_open();
    struct shm_info info;
    (void)state;
    struct feeding feeding = feed_start(-1);
    lines_of(feeding.pipe, 0, 256 + 10);
    fflush(feeding.pipe);
    wait_for_users(store, 256);
    struct shm_actor *actor = segment_join(store, SHM_ACTOR_MASTER, 0);
    for (unsigned i = 0; i < 100; i++) {
        struct shm_new_user user = {0};
        uint8_t body[USER_BODY_MAX];
        user.body_len = (uint32_t)user_of(user.id, body, i);
        body[user.body_len - 1] = 'X'; /* another role */
        user.body = body;
        assert_int_equal(shm_users_update(actor, &user, 1, NULL), SHM_OK);
        shm_actor_offline(actor);
    }
    for (int i = 0; i < 1000; i++) {
        shm_maintain(actor);
        shm_actor_offline(actor);
        shm_store_info(store, &info);
        if (info.retired_count == 0)
            break;
        usleep(1000);
    }
    assert_int_equal(info.retired_count, 0);
    shm_actor_leave(actor);
    assert_int_equal(feed_end(&feeding), 0);
    shm_store_info(store, &info);
    assert_int_equal(info.users, 266);
    assert_int_equal(info.actors, 0);
}

static void a_stopped_lock_holder_ends_a_load_with_an_error_in_two_seconds(void **state)
{
    pid_t holder = segment_stopped_lock_holder(segment_open());
    char why[128];
    (void)state;
    file_write_users(0, 10);
    snprintf(why, sizeof(why),
             "process %ld has held the writer lock for over a second (is it stopped?); "
             "nothing is loaded",
             (long)holder);
    uint64_t before = clock_monotonic_ms();
    assert_load_fails(why, "0 inserted, 0 updated, 0 unchanged, 0 refused\n");
    assert_in_range(clock_monotonic_ms() - before, 1000, 20000);
    kill(holder, SIGKILL);
    tool_wait(holder);
    /* The load recovers the lock of the dead holder. */
    assert_loads("10 inserted, 0 updated, 0 unchanged, 0 refused\n");
    assert_table_has(10);
}

static uint64_t private_bytes(pid_t pid)
{
    char path[64];
    unsigned long kib = 0;
    char *status, *field;
    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    status = file_read(path);
    assert_non_null(status);
    field = strstr(status, "RssAnon:");
    assert_non_null(field);
    kib = strtoul(field + 8, NULL, 10);
    free(status);
    return (uint64_t)kib * 1024;
}

static void three_hundred_thousand_users_take_no_more_memory_than_a_thousand(void **state)
{
    enum { FEW = 1024, USERS = 300 * 1000 };
    struct shm_store *store =
        segment_open_as((struct shm_config){.size = UINT64_C(1) << 30, .max_users = USERS});
    struct shm_info info;
    (void)state;
#ifdef __SANITIZE_ADDRESS__
    setenv("ASAN_OPTIONS", "quarantine_size_mb=1", 1); /* the sanitizer keeps freed memory */
    enum { MORE = 16 << 20 };
#else
    enum { MORE = 1 << 20 };
#endif
    struct feeding feeding = feed_start(-1);
    lines_of(feeding.pipe, 0, FEW);
    fflush(feeding.pipe);
    wait_for_users(store, FEW);
    uint64_t before = private_bytes(feeding.pid);
    lines_of(feeding.pipe, FEW, USERS);
    fflush(feeding.pipe);
    wait_for_users(store, USERS / 256 * 256);
    uint64_t after = private_bytes(feeding.pid);
    assert_true(after < before + MORE);
    assert_int_equal(feed_end(&feeding), 0);
    shm_store_info(store, &info);
    assert_int_equal(info.users, USERS);
}

/* The CPU time of a process in clock ticks. */
static unsigned long computed(pid_t pid)
{
    char path[64], *stat, *field;
    unsigned long ticks;
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    stat = file_read(path);
    assert_non_null(stat);
    field = strrchr(stat, ')');
    for (int i = 0; i < 12; i++) /* utime is the twelfth field after the name */
        field = strchr(field + 1, ' ');
    ticks = strtoul(field, NULL, 10);
    free(stat);
    return ticks;
}

/* guard_against_damage() ends a process that computes for long without progress. Reading lines that
 * change nothing is progress. */
static void a_load_of_what_is_there_may_take_its_time(void **state)
{
    enum { PADDING = 60000 };
    char line[FILE_LINE_SIZE], *padding = malloc(PADDING);
    (void)state;
    assert_non_null(padding);
    memset(padding, ' ', PADDING);
    segment_open();
    line_of(line, 0);
    struct feeding feeding = feed_start(-1);
    unsigned long enough = 3 * (unsigned long)sysconf(_SC_CLK_TCK);
    while (computed(feeding.pid) < enough) {
        for (int i = 0; i < 50; i++) {
            assert_int_equal(fputc('{', feeding.pipe), '{');
            assert_int_equal(fwrite(padding, 1, PADDING, feeding.pipe), PADDING);
            assert_true(fputs(line + 1, feeding.pipe) >= 0);
        }
    }
    assert_int_equal(feed_end(&feeding), 0);
    assert_table_has(1);
    free(padding);
}

static void a_damaged_table_ends_a_load(void **state)
{
    struct shm_store *store = segment_open();
    (void)state;
    segment_insert_three(store);
    for (uint64_t i = 0; i < shm_control()->ids.count; i++)
        shm_control()->ids.buckets[i].next = (struct cds_hlist_node *)(uintptr_t)0x10040;
    file_write_users(0, 10);
    struct tool_result got = tool_run(ON_SEGMENT, "load", file_path(), NULL);
    tool_assert_failed(&got, 4, "corrupt");
    tool_free(&got);
}

/* ---- CSV, arrays, and users without everything ---- */

/* The field of the user of this name, as JSON; the caller frees it. */
static char *field_of(const char *name, const char *field)
{
    struct tool_result got = tool_run("--json", ON_SEGMENT, "get", "--username", name, NULL);
    struct json_object *user = json_parse(got.out);
    char *text = strdup(json_object_to_json_string(json_field(user, field)));
    json_object_put(user);
    tool_free(&got);
    return text;
}

static void assert_field(const char *name, const char *field, const char *expected)
{
    char *text = field_of(name, field);
    assert_string_equal(text, expected);
    free(text);
}

static void csv_is_loaded_by_the_names_of_its_columns(void **state)
{
    (void)state;
    empty_segment();
    file_write("username,email,labels.team,roles,created_at\r\n"
               "ada,ada@a,blue,\"user,ops\",1700000000\r\n"
               "\"bob,\n\"\"b\"\"\",,,,\n"
               "\n"
               "cid,c@a,,user,2023-11-14T22:13:21Z\n");
    assert_loads("3 inserted, 0 updated, 0 unchanged, 0 refused\n");
    assert_field("ada", "roles", "[ \"user\", \"ops\" ]");
    assert_field("ada", "labels", "{ \"team\": \"blue\" }");
    assert_field("ada", "created_at", "1700000000");
    assert_field("bob,\n\"b\"", "roles", "[ ]");
    assert_field("cid", "created_at", "1700000001");
    segment_assert_verified();
}

static void csv_that_is_wrong_is_named_by_its_line(void **state)
{
    (void)state;
    empty_segment();
    file_write("username,mail\nada,a@b\n");
    assert_load_fails("line 1: unknown column \"mail\"",
                      "0 inserted, 0 updated, 0 unchanged, 0 refused\n");
    file_write("username,email\n\"a\nda\",\nbob,bob\n");
    assert_load_fails(":4: email must have one @ with text on both sides; nothing is loaded",
                      "0 inserted, 0 updated, 0 unchanged, 1 refused\n");
    struct tool_result got = tool_run(ON_SEGMENT, "load", "--keep-going", file_path(), NULL);
    assert_int_equal(got.exit, 1);
    assert_string_equal(got.out, "1 inserted, 0 updated, 0 unchanged, 1 refused\n");
    tool_free(&got);
}

/* It does not swallow the rows behind it. */
static void quote_within_a_cell_is_the_fault_of_its_row(void **state)
{
    (void)state;
    empty_segment();
    file_write("username,email\nada,5\"x\n\"bob\",\ncid,c@a\n\"d,\"\"\n\",\n");
    struct tool_result got = tool_run(ON_SEGMENT, "load", "--keep-going", file_path(), NULL);
    assert_int_equal(got.exit, 1);
    assert_string_equal(got.out, "3 inserted, 0 updated, 0 unchanged, 1 refused\n");
    assert_non_null(strstr(got.err, ":2: "));
    tool_free(&got);
}

static void array_of_json_is_loaded(void **state)
{
    (void)state;
    empty_segment();
    file_write("[\n  {\n    \"username\": \"ada\"\n  },\n  {\"username\": \"bob\"}\n]\n");
    assert_loads("2 inserted, 0 updated, 0 unchanged, 0 refused\n");
    file_write("[{\"username\": \"cid\"},\n{\"username\": 1}]");
    assert_load_fails(":2: username must be a string; nothing is loaded",
                      "0 inserted, 0 updated, 0 unchanged, 1 refused\n");
    file_write("[{\"username\": \"cid\"}\n");
    assert_load_fails("line 2: truncated: the array has no ] at its end; nothing is loaded",
                      "0 inserted, 0 updated, 0 unchanged, 0 refused\n");
    file_write("[{\"rosterd_dump\":2,\"users\":0}]");
    assert_load_fails(":1: the header or trailer of a dump in an array",
                      "0 inserted, 0 updated, 0 unchanged, 1 refused\n");
    file_write("[]");
    assert_load_fails("the file has no users", "0 inserted, 0 updated, 0 unchanged, 0 refused\n");
    segment_assert_verified();
}

static void user_in_the_table_keeps_the_time_that_a_line_lacks(void **state)
{
    (void)state;
    empty_segment();
    file_write("id,username,email,roles,created_at\n" ID_1 ",ada,,user,1700000000\n");
    assert_loads("1 inserted, 0 updated, 0 unchanged, 0 refused\n");
    file_write("id,username,email,roles\n" ID_1 ",ada,,user\n" ID_2 ",bob,,user\n");
    assert_loads("1 inserted, 0 updated, 1 unchanged, 0 refused\n");
    file_write("id,username,email,roles\n" ID_1 ",ada,,\"user,ops\"\n");
    assert_loads("0 inserted, 1 updated, 0 unchanged, 0 refused\n");
    assert_field("ada", "created_at", "1700000000");
    assert_field("ada", "roles", "[ \"user\", \"ops\" ]");
    segment_assert_verified();
}

static void users_of_csv_and_arrays_may_swap_their_names(void **state)
{
#define ROW(id, name) id "," name ",,,1700000000\n"
#define OBJECT(id, name)                                                                           \
    "{\"id\":\"" id "\",\n\"username\":\"" name "\",\"email\":\"\",\n\"roles\":[]}"
#define COLUMNS "id,username,email,roles,created_at\n"
    (void)state;
    unique_segment();
    file_write(COLUMNS ROW(ID_1, "ada") ROW(ID_2, "\"b,\nob\"") ROW(ID_3, "cid"));
    assert_loads("3 inserted, 0 updated, 0 unchanged, 0 refused\n");
    file_write(COLUMNS ROW(ID_1, "\"b,\nob\"") ROW(ID_2, "cid") ROW(ID_3, "ada"));
    assert_loads("0 inserted, 3 updated, 0 unchanged, 0 refused\n");
    file_write("[" OBJECT(ID_1, "cid") ",\n" OBJECT(ID_2, "ada") ",\n" OBJECT(ID_3, "eve") "]");
    assert_loads("0 inserted, 3 updated, 0 unchanged, 0 refused\n");
    assert_field("ada", "id", "\"" ID_2 "\"");
    assert_field("ada", "created_at", "1700000000");
    segment_assert_verified();
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN); /* writing to a load that has ended must fail the test, not kill it */
#define TEST(test) cmocka_unit_test_teardown(test, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_loaded_dump_gives_the_same_dump),
        TEST(csv_is_loaded_by_the_names_of_its_columns),
        TEST(csv_that_is_wrong_is_named_by_its_line),
        TEST(quote_within_a_cell_is_the_fault_of_its_row),
        TEST(array_of_json_is_loaded),
        TEST(user_in_the_table_keeps_the_time_that_a_line_lacks),
        TEST(users_of_csv_and_arrays_may_swap_their_names),
        TEST(users_keep_their_order_id_time_and_roles),
        TEST(a_user_is_stored_as_the_server_would_store_it),
        TEST(loading_again_changes_nothing),
        TEST(new_users_are_inserted_and_changed_ones_updated_in_the_files_order),
        TEST(json_reports_the_counts_as_numbers),
        TEST(blank_lines_crlf_and_a_last_line_without_newline_are_taken),
        TEST(a_file_without_users_is_an_error_and_a_dump_of_none_is_not),
        TEST(a_bad_line_is_named_and_ends_the_load_before_its_chunk),
        TEST(keep_going_passes_over_bad_lines),
        TEST(a_dump_that_is_not_whole_is_refused),
        TEST(a_file_that_is_not_there_or_no_file_is_named),
        TEST(a_unique_field_of_another_user_is_refused_by_line),
        TEST(users_get_the_names_of_the_file),
        TEST(keep_going_passes_over_users_that_the_table_refuses),
        TEST(a_full_table_says_how_far_it_came),
        TEST(a_dump_that_does_not_fit_is_refused_before_its_first_user),
        TEST(a_segment_at_its_bound_says_how_far_it_came),
        TEST(a_load_killed_in_the_middle_goes_on_where_it_was),
        TEST(a_load_killed_at_any_time_leaves_whole_chunks),
        TEST(an_interrupted_load_says_how_far_it_came),
        TEST(a_load_that_waits_for_input_holds_nobody_up),
        TEST(a_stopped_lock_holder_ends_a_load_with_an_error_in_two_seconds),
        TEST(three_hundred_thousand_users_take_no_more_memory_than_a_thousand),
        TEST(a_load_of_what_is_there_may_take_its_time),
        TEST(a_damaged_table_ends_a_load),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
