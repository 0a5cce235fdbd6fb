/* SPDX-License-Identifier: MIT */
/* dump and load of what UserService does not show: disabled, labels, times, passwords. */
#include <fcntl.h>
#include <pty.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "tests/inspect/tool.h"
#include "tests/inspect/users_file.h"

#define SECRET "$2b$10$abcdefghijklmnopqrstuuabcdefghijklmnopqrstuuabcdefghi"
#define OTHER  "$2b$10$Zbcdefghijklmnopqrstuuabcdefghijklmnopqrstuuabcdefghi"

#define ARGON2ID_OF(kib)                                                                           \
    "$argon2id$v=19$m=" kib ",t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$"                                     \
    "MTIzNDU2NzgxMjM0NTY3ODEyMzQ1Njc4MTIzNDU2Nzg"

#define ANN(rest)                                                                                  \
    "{\"id\":\"" ID_1 "\",\"username\":\"ann\",\"email\":\"\",\"created_at\":1700000000,"          \
    "\"roles\":[]" rest "}\n"
#define REST                                                                                       \
    ",\"disabled\":true,\"labels\":{\"a.org/b\":\"\",\"team\":\"\\\"1=2,\\\"\"},"                  \
    "\"update_time\":\"2023-11-14T22:13:21.500000001Z\""
#define BOB(rest)                                                                                  \
    "{\"id\":\"" ID_2 "\",\"username\":\"bob\",\"email\":\"\",\"created_at\":1700000000,"          \
    "\"roles\":[],\"disabled\":false,\"labels\":{},\"update_time\":\"2023-11-14T22:13:20Z\"" rest  \
    "}\n"

static struct user_record ann_record(const char *secret)
{
    static struct user_label labels[2];
    labels[0] = (struct user_label){text_make("team"), text_make("\"1=2,\"")};
    labels[1] = (struct user_label){text_make("a.org/b"), text_make("")};
    return (struct user_record){.fields = {.username = text_make("ann"), .created_at = 1700000000},
                                .disabled = true,
                                .update_time = 1700000001500000001,
                                .labels = labels,
                                .num_labels = 2,
                                .secret = text_make(secret)};
}

static struct shm_store *open_two(void)
{
    struct shm_store *store = segment_open();
    struct user_record ann = ann_record(SECRET);
    struct user_record bob = {.fields = {.username = text_make("bob"), .created_at = 1700000000}};
    bob.update_time = user_create_time(&bob.fields);
    segment_insert_record(store, 1, &ann);
    segment_insert_record(store, 2, &bob);
    return store;
}

static bool has_secret(const struct user_record *record, const char *secret)
{
    return record->secret.len == strlen(secret) &&
           memcmp(record->secret.data, secret, record->secret.len) == 0;
}

static char *dump_of(const char *option)
{
    struct tool_result got = option != NULL ? tool_run(ON_SEGMENT, "dump", option, NULL)
                                            : tool_run(ON_SEGMENT, "dump", NULL);
    assert_string_equal(got.err, "");
    assert_int_equal(got.exit, 0);
    free(got.err);
    return got.out;
}

static void load_lines(const char *lines, const char *summary)
{
    file_write(lines);
    struct tool_result got = tool_run(ON_SEGMENT, "load", file_path(), NULL);
    assert_string_equal(got.err, "");
    assert_string_equal(got.out, summary);
    assert_int_equal(got.exit, 0);
    tool_free(&got);
}

static void refuse_lines(const char *lines, const char *what)
{
    file_write(lines);
    struct tool_result got = tool_run(ON_SEGMENT, "load", file_path(), NULL);
    tool_assert_failed(&got, 1, what);
    assert_null(strstr(got.err, "abcdefghijklmn"));
    assert_string_equal(got.out, "0 inserted, 0 updated, 0 unchanged, 1 refused\n");
    tool_free(&got);
}

/* ---- dumps ---- */

static void dump_without_the_option_has_no_secret(void **state)
{
    (void)state;
    open_two();
    char *dump = dump_of(NULL);
    assert_null(strstr(dump, "$2b$"));
    assert_null(strstr(dump, "password_hash"));
    assert_non_null(strstr(dump, ANN(REST ",\"has_password\":true")));
    assert_non_null(strstr(dump, BOB(",\"has_password\":false")));
    free(dump);
}

static void dump_with_secrets_has_them(void **state)
{
    struct stat st;
    (void)state;
    open_two();
    char *dump = dump_of("--with-secrets");
    assert_non_null(strstr(dump, ANN(REST ",\"password_hash\":\"" SECRET "\"")));
    assert_non_null(strstr(dump, BOB(",\"password_hash\":\"\"")));
    assert_null(strstr(dump, "has_password"));
    free(dump);
    struct tool_result got =
        tool_run(ON_SEGMENT, "dump", "--with-secrets", "--output", file_path(), NULL);
    assert_int_equal(got.exit, 0);
    tool_free(&got);
    assert_int_equal(stat(file_path(), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
}

static void secrets_are_not_printed_on_a_terminal(void **state)
{
    int master, terminal;
    (void)state;
    open_two();
    assert_int_equal(openpty(&master, &terminal, NULL, NULL, NULL), 0);
    struct tool_result got = tool_run_into(terminal, ON_SEGMENT, "dump", "--with-secrets", NULL);
    tool_assert_failed(&got, 2, "password hashes are not printed on a terminal");
    tool_free(&got);
    got = tool_run_into(terminal, ON_SEGMENT, "dump", "--with-secrets", "--output", file_path(),
                        NULL);
    assert_int_equal(got.exit, 0);
    tool_free(&got);
    close(master);
    close(terminal);
}

static void no_command_but_dump_shows_a_secret(void **state)
{
    static const char *const commands[][2] = {
        {"list", NULL}, {"get", ID_1}, {"find", ID_1}, {"status", NULL}, {"verify", NULL}};
    (void)state;
    open_two();
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        for (int json = 0; json < 2; json++) {
            struct tool_result got =
                json ? tool_run("--json", ON_SEGMENT, commands[i][0], commands[i][1], NULL)
                     : tool_run(ON_SEGMENT, commands[i][0], commands[i][1], NULL);
            assert_int_equal(got.exit, 0);
            assert_null(strstr(got.out, "$2b$"));
            assert_null(strstr(got.err, "$2b$"));
            tool_free(&got);
        }
}

/* ---- loading them ---- */

static void everything_comes_back_from_a_dump_with_secrets(void **state)
{
    (void)state;
    open_two();
    char *before = dump_of("--with-secrets");
    segment_close();
    segment_remove();
    struct shm_store *store = segment_open();
    load_lines(before, "2 inserted, 0 updated, 0 unchanged, 0 refused\n");
    load_lines(before, "0 inserted, 0 updated, 2 unchanged, 0 refused\n");
    struct user_record ann = segment_record(store, 1);
    assert_true(ann.disabled);
    assert_int_equal(ann.update_time, 1700000001500000001);
    assert_int_equal(ann.num_labels, 2);
    assert_true(has_secret(&ann, SECRET));
    char *after = dump_of("--with-secrets");
    assert_string_equal(strchr(after, '\n'), strchr(before, '\n'));
    free(before);
    free(after);
    segment_assert_verified();
}

static void loss_of_passwords_is_told(void **state)
{
    (void)state;
    open_two();
    char *dump = dump_of(NULL);
    segment_close();
    segment_remove();
    struct shm_store *store = segment_open();
    load_lines(dump, "2 inserted, 0 updated, 0 unchanged, 0 refused\n"
                     "1 without the password that they had: the dump has no hashes (see: dump "
                     "--with-secrets)\n");
    struct user_record ann = segment_record(store, 1);
    assert_true(ann.disabled);
    assert_int_equal(ann.num_labels, 2);
    assert_int_equal(ann.secret.len, 0);
    struct tool_result got = tool_run("--json", ON_SEGMENT, "load", file_path(), NULL);
    assert_non_null(strstr(got.out, "\"unchanged\":2,\"refused\":0,\"without_password\":1,"));
    tool_free(&got);
    free(dump);
}

/* A dump without hashes says nothing about those of the table, whatever else it changes. */
static void dump_without_secrets_leaves_the_passwords_of_the_table(void **state)
{
    struct shm_store *store = open_two();
    (void)state;
    load_lines(ANN(",\"disabled\":false,\"labels\":{},\"update_time\":\"2023-11-14T22:13:20Z\","
                   "\"has_password\":true"),
               "0 inserted, 1 updated, 0 unchanged, 0 refused\n");
    struct user_record ann = segment_record(store, 1);
    assert_false(ann.disabled);
    assert_int_equal(ann.num_labels, 0);
    assert_int_equal(ann.update_time, 1700000000000000000);
    assert_true(has_secret(&ann, SECRET));
    load_lines(ANN(",\"has_password\":false"), "0 inserted, 0 updated, 1 unchanged, 0 refused\n");
    ann = segment_record(store, 1);
    assert_true(has_secret(&ann, SECRET));
}

static void hash_of_a_dump_replaces_or_removes_the_tables(void **state)
{
    struct shm_store *store = open_two();
    (void)state;
    load_lines(ANN(",\"password_hash\":\"" OTHER "\",\"has_password\":true"),
               "0 inserted, 1 updated, 0 unchanged, 0 refused\n");
    struct user_record ann = segment_record(store, 1);
    assert_true(has_secret(&ann, OTHER));
    assert_int_equal(ann.num_labels, 2); /* not given, so it stays */
    load_lines(ANN(",\"password_hash\":\"\""), "0 inserted, 1 updated, 0 unchanged, 0 refused\n");
    ann = segment_record(store, 1);
    assert_int_equal(ann.secret.len, 0);
    assert_true(ann.disabled);
}

/* The server had greater costs than it allows for a hash of another program. */
static void hash_that_the_server_made_is_loaded_whatever_it_costs(void **state)
{
    segment_open();
    (void)state;
    load_lines(ANN(",\"password_hash\":\"" ARGON2ID_OF("4194304") "\""),
               "1 inserted, 0 updated, 0 unchanged, 0 refused\n");
}

/* A file of rosterd 0.1.0 or 0.2.0. */
static void dump_of_format_1_is_loaded_and_changes_nothing_else(void **state)
{
    struct shm_store *store = open_two();
    int64_t before = (int64_t)clock_real_ms() * 1000000;
    (void)state;
    load_lines("{\"rosterd_dump\":1,\"segment\":\"/rosterd\",\"version\":7,\"users\":3}\n"
               "{\"id\":\"" ID_1 "\",\"username\":\"ann\",\"email\":\"ann@a.org\","
               "\"created_at\":1700000000,\"roles\":[\"user\"]}\n"
               "{\"id\":\"" ID_2 "\",\"username\":\"bob\",\"email\":\"\","
               "\"created_at\":1700000000,\"roles\":[]}\n"
               "{\"id\":\"" ID_3 "\",\"username\":\"cid\",\"email\":\"\","
               "\"created_at\":1600000000,\"roles\":[]}\n"
               "{\"rosterd_dump_end\":1,\"users\":3}\n",
               "1 inserted, 1 updated, 1 unchanged, 0 refused\n");
    struct user_record ann = segment_record(store, 1);
    assert_int_equal(ann.fields.email.len, 9);
    assert_true(ann.disabled);
    assert_int_equal(ann.num_labels, 2);
    assert_true(has_secret(&ann, SECRET));
    assert_true(ann.update_time >= before); /* by this load */
    struct user_record cid = segment_record(store, 3);
    assert_int_equal(cid.update_time, 1600000000000000000); /* never */
}

static void first_and_last_time_come_back(void **state)
{
    static const int64_t times[] = {INT64_MIN, INT64_MIN + 1, -1, 0, 1, INT64_MAX};
    (void)state;
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        struct shm_store *store = segment_open();
        struct user_record user = ann_record(SECRET);
        user.update_time = times[i];
        segment_insert_record(store, 1, &user);
        char *dump = dump_of("--with-secrets");
        load_lines(dump, "0 inserted, 0 updated, 1 unchanged, 0 refused\n");
        free(dump);
        segment_close();
        segment_remove();
    }
}

/* ---- lines that are refused ---- */

static void wrong_hash_is_named_by_its_line_and_never_shown(void **state)
{
    (void)state;
    segment_open();
    refuse_lines(ANN(",\"password_hash\":\"abcdefghijklmn\""), ":1: password_hash: ");
    refuse_lines(ANN(",\"password_hash\":\"$1$abcdefghijklmn$x\""), ":1: password_hash: ");
    refuse_lines(ANN(",\"password_hash\":\"$2b$10$abcdefghijklmn\""), ":1: password_hash: ");
    refuse_lines(ANN(",\"password_hash\":\"" SECRET "\\u0000\""), ":1: password_hash ");
    /* the server would verify neither */
    refuse_lines(
        ANN(",\"password_hash\":\"$2b$15$abcdefghijklmnopqrstuuabcdefghijklmnopqrstuuabcdefghi\""),
        ":1: password_hash: ");
    refuse_lines(ANN(",\"password_hash\":\"" ARGON2ID_OF("4194305") "\""), ":1: password_hash: ");
    refuse_lines(ANN(",\"password_hash\":1"), ":1: password_hash must be a string");
    refuse_lines(ANN(",\"has_password\":1"), ":1: has_password must be true or false");
    refuse_lines(ANN(",\"password_hash\":\"" SECRET "\",\"has_password\":false"),
                 ":1: has_password and password_hash contradict each other");
    refuse_lines(ANN(",\"password_hash\":\"\",\"has_password\":true"),
                 ":1: has_password and password_hash contradict each other");
}

static void wrong_fields_are_named(void **state)
{
    (void)state;
    segment_open();
    refuse_lines(ANN(",\"disabled\":\"yes\""), ":1: disabled must be true or false");
    refuse_lines(ANN(",\"labels\":[]"), ":1: labels must be an object of strings");
    refuse_lines(ANN(",\"labels\":{\"a\":1}"), ":1: labels must be an object of strings");
    refuse_lines(ANN(",\"labels\":{\"-a\":\"\"}"), ":1: labels");
    refuse_lines(ANN(",\"labels\":{\"a\":\"\\n\"}"), ":1: labels");
    refuse_lines(ANN(",\"labels\":{\"a\\u0000b\":\"\"}"), ":1: a key contains U+0000");
    refuse_lines(ANN(",\"update_time\":1"), ":1: update_time must be a string");
    refuse_lines(ANN(",\"update_time\":\"yesterday\""), ":1: update_time is not a time such as");
    refuse_lines(ANN(",\"update_time\":\"1600-01-01T00:00:00Z\""),
                 ":1: update_time is not of the years");
    refuse_lines(ANN(",\"update_time\":\"2262-12-01T00:00:00Z\""),
                 ":1: update_time is not of the years");
    refuse_lines(ANN(",\"labels\":{\"a\":\"\",\"b\":\"\",\"c\":\"\",\"d\":\"\",\"e\":\"\",\"f\":"
                     "\"\",\"g\":\"\",\"h\":\"\",\"i\":\"\",\"j\":\"\",\"k\":\"\",\"l\":\"\","
                     "\"m\":\"\",\"n\":\"\",\"o\":\"\",\"p\":\"\",\"q\":\"\",\"r\":\"\",\"s\":"
                     "\"\",\"t\":\"\",\"u\":\"\",\"v\":\"\",\"w\":\"\",\"x\":\"\",\"y\":\"\","
                     "\"z\":\"\",\"A\":\"\",\"B\":\"\",\"C\":\"\",\"D\":\"\",\"E\":\"\",\"F\":"
                     "\"\",\"G\":\"\"}"),
                 ":1: labels has more than 32 entries");
}

/* What the user keeps and what the line gives may be too much together. */
static void user_that_would_be_too_long_is_refused(void **state)
{
    static char value[1001], secret[USER_SECRET_MAX + 1], line[16384], role[USER_ROLES_MAX][80];
    struct shm_store *store = segment_open();
    struct user_label label = {text_make("a"), {0}};
    struct user_record user = {.fields = {.username = text_make("ann"), .created_at = 1},
                               .labels = &label,
                               .num_labels = 1};
    size_t len = 0;
    (void)state;
    memset(value, 'v', sizeof(value) - 1);
    memset(secret, 's', sizeof(secret) - 1);
    label.value = text_make(value);
    user.secret = text_make(secret);
    segment_insert_record(store, 1, &user);
    for (size_t i = 0; i < USER_ROLES_MAX; i++) {
        snprintf(role[i], sizeof(role[i]), "%064zu", i);
        len +=
            (size_t)snprintf(line + len, sizeof(line) - len, "%s\"%s\"", i > 0 ? "," : "", role[i]);
    }
    char *roles = strdup(line);
    char name[256];
    memset(name, 'n', 255);
    name[255] = '\0';
    snprintf(line, sizeof(line),
             "{\"id\":\"" ID_1 "\",\"username\":\"%s\",\"email\":\"%.200s@a\",\"created_at\":1,"
             "\"roles\":[%s]}\n",
             name, value, roles);
    free(roles);
    refuse_lines(line,
                 ":1: roles, labels, password_hash and the other fields are longer than 4000");
    user = segment_record(store, 1);
    assert_int_equal(user.fields.num_roles, 0);
}

static int teardown(void **state)
{
    file_remove();
    return segment_teardown(state);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_teardown(test, teardown)
    const struct CMUnitTest tests[] = {
        TEST(dump_without_the_option_has_no_secret),
        TEST(dump_with_secrets_has_them),
        TEST(secrets_are_not_printed_on_a_terminal),
        TEST(no_command_but_dump_shows_a_secret),
        TEST(everything_comes_back_from_a_dump_with_secrets),
        TEST(loss_of_passwords_is_told),
        TEST(dump_without_secrets_leaves_the_passwords_of_the_table),
        TEST(hash_of_a_dump_replaces_or_removes_the_tables),
        TEST(hash_that_the_server_made_is_loaded_whatever_it_costs),
        TEST(dump_of_format_1_is_loaded_and_changes_nothing_else),
        TEST(first_and_last_time_come_back),
        TEST(wrong_hash_is_named_by_its_line_and_never_shown),
        TEST(wrong_fields_are_named),
        TEST(user_that_would_be_too_long_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
