/* SPDX-License-Identifier: MIT */
/* create, update, disable, enable, and what set-roles leaves alone. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "shm/error.h"
#include "tests/inspect/tool.h"
#include "user/etag.h"

#define SECRET "$2b$10$abcdefghijklmnopqrstuuabcdefghijklmnopqrstuuabcdefghi"
#define ID_4   "04040404-0404-0404-0404-040404040404"

static struct shm_store *opened;

/* ann has everything that a user can have; bob has no hidden part. */
static struct shm_store *open_two(unsigned unique)
{
    static struct user_label labels[2];
    static struct user_text roles[1];
    labels[0] = (struct user_label){text_make("team"), text_make("blue")};
    labels[1] = (struct user_label){text_make("x.org/a"), text_make("1=2")};
    roles[0] = text_make("user");
    struct user_record ann = {.fields = {.username = text_make("ann"),
                                         .email = text_make("ann@a.org"),
                                         .created_at = 1700000000,
                                         .roles = roles,
                                         .num_roles = 1},
                              .disabled = true,
                              .update_time = 1700000001500000000,
                              .labels = labels,
                              .num_labels = 2,
                              .secret = text_make(SECRET)};
    struct user_record bob = {.fields = {.username = text_make("bob"), .created_at = 1700000000}};
    bob.update_time = user_create_time(&bob.fields);
    opened = segment_open_as((struct shm_config){
        .size = UINT64_C(1) << 30, .max_users = 10000, .unique = unique, .key_of = user_key_of});
    segment_insert_record(opened, 1, &ann);
    segment_insert_record(opened, 2, &bob);
    return opened;
}

static void assert_text(struct user_text text, const char *expected)
{
    assert_int_equal(text.len, strlen(expected));
    assert_memory_equal(text.data, expected, text.len);
}

static void run_well(const char *out, struct tool_result got)
{
    assert_string_equal(got.err, "");
    assert_int_equal(got.exit, 0);
    if (out != NULL)
        assert_string_equal(got.out, out);
    assert_null(strstr(got.out, SECRET));
    tool_free(&got);
}

static void run_badly(int code, const char *what, struct tool_result got)
{
    tool_assert_failed(&got, code, what);
    assert_string_equal(got.out, "");
    tool_free(&got);
}

static void assert_updated_now(int64_t update_time)
{
    int64_t now = (int64_t)clock_real_ms() * 1000000;
    assert_true(update_time <= now && update_time > now - INT64_C(60) * 1000000000);
}

/* ---- create ---- */

/* The user of this name, as get prints it in JSON. */
static struct json_object *got_user(const char *name)
{
    struct tool_result got = tool_run("--json", ON_SEGMENT, "get", "--username", name, NULL);
    struct json_object *user = json_parse(got.out);
    assert_non_null(user);
    tool_free(&got);
    return user;
}

static void create_makes_a_user_with_an_id_and_the_time(void **state)
{
    (void)state;
    open_two(3);
    run_well(NULL,
             tool_run(ON_SEGMENT, "create", "--username", "eve", "--email", "eve@a.org", "--roles",
                      "a,b", "--label", "team=red", "--label", "x=", "--disable", NULL));
    struct json_object *eve = got_user("eve");
    assert_int_equal(json_number_field(eve, "seq"), 3);
    assert_string_equal(json_string_field(eve, "email"), "eve@a.org");
    assert_int_equal(json_object_array_length(json_field(eve, "roles")), 2);
    assert_string_equal(json_string_field(json_field(eve, "labels"), "team"), "red");
    assert_true(json_object_get_boolean(json_field(eve, "disabled")));
    assert_false(json_object_get_boolean(json_field(eve, "has_password")));
    assert_int_equal(json_string_field(eve, "id")[14], '4'); /* a random UUID */
    uint64_t now = clock_real_ms() / 1000;
    assert_in_range(json_number_field(eve, "created_at"), now - 60, now + 1);
    json_object_put(eve);
    segment_assert_verified();
}

static void created_user_is_printed_as_get_does(void **state)
{
    (void)state;
    open_two(3);
    struct tool_result text = tool_run(ON_SEGMENT, "create", "--username", "eve", NULL);
    struct tool_result get = tool_run(ON_SEGMENT, "get", "--username", "eve", NULL);
    assert_string_equal(text.out, get.out);
    assert_non_null(strstr(text.out, "username  eve\nemail     \n"));
    tool_free(&text);
    tool_free(&get);
    text = tool_run("--json", ON_SEGMENT, "create", "--username", "fay", NULL);
    get = tool_run("--json", ON_SEGMENT, "get", "--username", "fay", NULL);
    assert_string_equal(text.out, get.out);
    tool_free(&text);
    tool_free(&get);
}

static void create_refuses_what_the_server_refuses(void **state)
{
    (void)state;
    open_two(3);
    run_badly(1, "create: another user has this username, which is unique",
              tool_run(ON_SEGMENT, "create", "--username", "ann", NULL));
    run_badly(1, "create: another user has this email, which is unique",
              tool_run(ON_SEGMENT, "create", "--username", "eve", "--email", "ann@A.ORG", NULL));
    run_badly(2, "create: username", tool_run(ON_SEGMENT, "create", "--username", "", NULL));
    run_badly(2, "create: username is not UTF-8",
              tool_run(ON_SEGMENT, "create", "--username", "\xff", NULL));
    run_badly(2, "create: role \"b\"",
              tool_run(ON_SEGMENT, "create", "--username", "eve", "--roles", "b,b", NULL));
    run_badly(2, "create: --label team: it is not KEY=VALUE",
              tool_run(ON_SEGMENT, "create", "--username", "eve", "--label", "team", NULL));
    struct tool_result status = tool_run(ON_SEGMENT, "status", NULL);
    assert_non_null(strstr(status.out, "users           2 of"));
    tool_free(&status);
}

/* ---- update ---- */

static void update_changes_what_it_is_given_and_nothing_else(void **state)
{
    struct shm_store *store = open_two(3);
    (void)state;
    run_well(NULL, tool_run(ON_SEGMENT, "update", ID_1, "--email", "new@a.org", NULL));
    struct user_record ann = segment_record(store, 1);
    assert_text(ann.fields.username, "ann");
    assert_text(ann.fields.email, "new@a.org");
    assert_int_equal(ann.fields.created_at, 1700000000);
    assert_int_equal(ann.fields.num_roles, 1);
    assert_true(ann.disabled);
    assert_int_equal(ann.num_labels, 2);
    assert_text(ann.secret, SECRET);
    assert_updated_now(ann.update_time);

    run_well(NULL,
             tool_run(ON_SEGMENT, "update", ID_1, "--username", "eve", "--roles", "a,b", "--enable",
                      "--label", "team=red", "--label", "new=", "--remove-label", "x.org/a", NULL));
    int64_t before = ann.update_time;
    ann = segment_record(store, 1);
    assert_text(ann.fields.username, "eve");
    assert_int_equal(ann.fields.num_roles, 2);
    assert_text(ann.fields.roles[1], "b");
    assert_false(ann.disabled);
    assert_int_equal(ann.num_labels, 2);
    assert_text(ann.labels[0].key, "new");
    assert_text(ann.labels[0].value, "");
    assert_text(ann.labels[1].key, "team");
    assert_text(ann.labels[1].value, "red");
    assert_text(ann.secret, SECRET);
    assert_true(ann.update_time > before);

    run_well(NULL, tool_run(ON_SEGMENT, "update", ID_1, "--roles", "", "--email", "", NULL));
    ann = segment_record(store, 1);
    assert_int_equal(ann.fields.num_roles, 0);
    assert_int_equal(ann.fields.email.len, 0);
    segment_assert_verified();
}

static void update_prints_the_user_as_get_does(void **state)
{
    (void)state;
    open_two(3);
    struct tool_result text = tool_run(ON_SEGMENT, "update", ID_1, "--label", "team=red", NULL);
    struct tool_result get = tool_run(ON_SEGMENT, "get", ID_1, NULL);
    assert_string_equal(text.out, get.out);
    assert_non_null(strstr(text.out, "\nlabel     team=red\nlabel     x.org/a=1=2\n"));
    assert_non_null(strstr(text.out, "\ndisabled  yes\npassword  yes\n"));
    tool_free(&text);
    tool_free(&get);
    text = tool_run("--json", ON_SEGMENT, "update", ID_1, "--enable", NULL);
    get = tool_run("--json", ON_SEGMENT, "get", ID_1, NULL);
    assert_string_equal(text.out, get.out);
    assert_non_null(strstr(text.out, "\"labels\":{\"team\":\"red\",\"x.org/a\":\"1=2\"}"));
    assert_non_null(strstr(text.out, "\"has_password\":true"));
    tool_free(&text);
    tool_free(&get);
}

static void set_roles_leaves_the_hidden_part_and_notes_the_time(void **state)
{
    struct shm_store *store = open_two(3);
    (void)state;
    run_well(ID_1 ": ops, was: user\n", tool_run(ON_SEGMENT, "set-roles", ID_1, "ops", NULL));
    struct user_record ann = segment_record(store, 1);
    assert_true(ann.disabled);
    assert_int_equal(ann.num_labels, 2);
    assert_text(ann.secret, SECRET);
    assert_updated_now(ann.update_time);
}

/* ---- who is meant ---- */

static void user_is_named_by_id_username_or_email(void **state)
{
    (void)state;
    for (unsigned unique = 0; unique <= 3; unique += 3) { /* without and with indexes */
        open_two(unique);
        run_well(NULL, tool_run(ON_SEGMENT, "update", "username:ann", "--label", "a=1", NULL));
        run_well(NULL, tool_run(ON_SEGMENT, "update", "email:ann@A.org", "--label", "b=2", NULL));
        run_well(NULL, tool_run(ON_SEGMENT, "update", ID_1, "--label", "c=3", NULL));
        assert_int_equal(segment_record(opened, 1).num_labels, 5);
        run_well(ID_2 ": x, was: (none)\n",
                 tool_run(ON_SEGMENT, "set-roles", "username:bob", "x", NULL));
        run_badly(1, "no user username:eve in",
                  tool_run(ON_SEGMENT, "update", "username:eve", "--enable", NULL));
        run_badly(1, "no user email:ANN@a.org in",
                  tool_run(ON_SEGMENT, "update", "email:ANN@a.org", "--enable", NULL));
        run_badly(1, "no user " ID_4, tool_run(ON_SEGMENT, "update", ID_4, "--enable", NULL));
        run_badly(1, "no user ann: a user is an id",
                  tool_run(ON_SEGMENT, "update", "ann", "--enable", NULL));
        run_badly(1, "no user username:: a user is",
                  tool_run(ON_SEGMENT, "update", "username:", "--enable", NULL));
        run_well(ID_2 " is deleted\n", tool_run(ON_SEGMENT, "delete", "username:bob", ID_2, NULL));
        segment_close();
        segment_remove();
    }
}

static void name_of_several_users_is_refused(void **state)
{
    struct shm_store *store = open_two(0);
    struct user_record twin = {.fields = {.username = text_make("bob")}};
    (void)state;
    segment_insert_record(store, 3, &twin);
    static const char *const commands[] = {"disable", "delete"};
    for (size_t i = 0; i < 2; i++)
        run_badly(1, "several users in", tool_run(ON_SEGMENT, commands[i], "username:bob", NULL));
    run_badly(1, "several users in",
              tool_run(ON_SEGMENT, "update", "username:bob", "--enable", NULL));
    run_badly(1, "several users in", tool_run(ON_SEGMENT, "set-roles", "username:bob", "x", NULL));
    assert_int_equal(segment_record(store, 2).fields.num_roles, 0);
}

/* ---- conditions ---- */

static void etag_of_an_older_version_changes_nothing(void **state)
{
    struct shm_store *store = open_two(3);
    (void)state;
    run_well(NULL, tool_run(ON_SEGMENT, "update", ID_1, "--if-etag", "\"1\"", "--enable", NULL));
    run_badly(1, "user " ID_1 ": it has been changed since: its etag is \"3\"",
              tool_run(ON_SEGMENT, "update", ID_1, "--if-etag", "\"1\"", "--disable", NULL));
    assert_false(segment_record(store, 1).disabled);
    run_well(NULL, tool_run(ON_SEGMENT, "update", ID_1, "--if-etag", "3", "--disable", NULL));
    assert_true(segment_record(store, 1).disabled);
}

static void taken_key_is_named(void **state)
{
    (void)state;
    open_two(3);
    run_badly(1, "user " ID_2 ": another user has this username, which is unique",
              tool_run(ON_SEGMENT, "update", ID_2, "--username", "ann", NULL));
    run_badly(1, "user " ID_2 ": another user has this email, which is unique",
              tool_run(ON_SEGMENT, "update", ID_2, "--email", "ann@A.ORG", NULL));
    run_well(NULL, tool_run(ON_SEGMENT, "update", ID_1, "--username", "eve", NULL));
    run_well(NULL, tool_run(ON_SEGMENT, "update", "username:bob", "--username", "ann", NULL));
    segment_assert_verified();
}

static void user_gets_no_more_labels_than_it_may_have(void **state)
{
    struct shm_store *store = open_two(0);
    char label[16];
    (void)state;
    for (int i = 0; i < USER_LABELS_MAX - 2; i++) {
        snprintf(label, sizeof(label), "l%d=v", i);
        run_well(NULL, tool_run(ON_SEGMENT, "update", ID_1, "--label", label, NULL));
    }
    run_badly(1, "user " ID_1 ": labels",
              tool_run(ON_SEGMENT, "update", ID_1, "--label", "one-more=v", NULL));
    run_well(NULL, tool_run(ON_SEGMENT, "update", ID_1, "--label", "one-more=v", "--remove-label",
                            "l0", NULL));
    assert_int_equal(segment_record(store, 1).num_labels, USER_LABELS_MAX);
}

static void damaged_user_is_not_overwritten(void **state)
{
    struct shm_store *store = open_two(0);
    (void)state;
    segment_insert_body(store, 3, "\x12\xFFgarbage", 9);
    run_badly(4, "user " ID_3 ": its body is not a User message",
              tool_run(ON_SEGMENT, "update", ID_3, "--username", "x", NULL));
    run_badly(4, "user " ID_3 ": its body is not a User message",
              tool_run(ON_SEGMENT, "disable", ID_3, NULL));
}

/* Waits until the tool has read the user and tries to write: it sleeps between two attempts. */
static void await_attempts(pid_t pid)
{
    enum { DEADLINE_MS = 1200 };
    uint64_t end = clock_monotonic_ms() + DEADLINE_MS;
    char path[64], line[64] = "";
    snprintf(path, sizeof(path), "/proc/%d/syscall", (int)pid);
    while (atoi(line) != SYS_clock_nanosleep) {
        FILE *file = fopen(path, "r");
        assert_true(file != NULL && clock_monotonic_ms() < end);
        if (fgets(line, sizeof(line), file) == NULL)
            line[0] = '\0';
        fclose(file);
    }
}

/* Two programs have read the same user when the first of them can write. */
static void concurrent_updates_of_one_user_lose_nothing(void **state)
{
    struct shm_store *store = open_two(3);
    pid_t pids[2];
    (void)state;
    pid_t holder = segment_stopped_lock_holder(store);
    pids[0] = tool_start(-1, STDERR_FILENO, -1, ON_SEGMENT, "update", ID_2, "--label", "a=1", NULL);
    pids[1] = tool_start(-1, STDERR_FILENO, -1, ON_SEGMENT, "set-roles", ID_2, "ops", NULL);
    await_attempts(pids[0]);
    await_attempts(pids[1]);
    kill(holder, SIGKILL);
    tool_wait(holder);
    assert_int_equal(tool_wait(pids[0]), 0);
    assert_int_equal(tool_wait(pids[1]), 0);
    struct user_record bob = segment_record(store, 2);
    assert_int_equal(bob.num_labels, 1);
    assert_int_equal(bob.fields.num_roles, 1);
    segment_assert_verified();
}

/* ---- disable, enable ---- */

static void users_are_disabled_and_enabled_together(void **state)
{
    struct shm_store *store = open_two(3);
    (void)state;
    run_well(ID_2 " is disabled\n" ID_1 " is disabled\n",
             tool_run(ON_SEGMENT, "disable", "username:bob", ID_1, NULL));
    assert_true(segment_record(store, 1).disabled);
    struct user_record bob = segment_record(store, 2);
    assert_true(bob.disabled);
    assert_updated_now(bob.update_time);
    run_well("{\"enabled\":[\"" ID_1 "\",\"" ID_2 "\"]}\n",
             tool_run("--json", ON_SEGMENT, "enable", "email:ann@a.org", ID_2, NULL));
    assert_false(segment_record(store, 2).disabled);
    struct user_record ann = segment_record(store, 1);
    assert_false(ann.disabled);
    assert_text(ann.secret, SECRET);
    assert_int_equal(ann.num_labels, 2);
}

static void nobody_is_disabled_where_one_is_missing(void **state)
{
    struct shm_store *store = open_two(3);
    (void)state;
    run_badly(1, "no user " ID_4, tool_run(ON_SEGMENT, "disable", ID_2, ID_4, NULL));
    assert_false(segment_record(store, 2).disabled);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_teardown(test, segment_teardown)
    const struct CMUnitTest tests[] = {
        TEST(create_makes_a_user_with_an_id_and_the_time),
        TEST(created_user_is_printed_as_get_does),
        TEST(create_refuses_what_the_server_refuses),
        TEST(update_changes_what_it_is_given_and_nothing_else),
        TEST(update_prints_the_user_as_get_does),
        TEST(set_roles_leaves_the_hidden_part_and_notes_the_time),
        TEST(user_is_named_by_id_username_or_email),
        TEST(name_of_several_users_is_refused),
        TEST(etag_of_an_older_version_changes_nothing),
        TEST(taken_key_is_named),
        TEST(user_gets_no_more_labels_than_it_may_have),
        TEST(damaged_user_is_not_overwritten),
        TEST(concurrent_updates_of_one_user_lose_nothing),
        TEST(users_are_disabled_and_enabled_together),
        TEST(nobody_is_disabled_where_one_is_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
