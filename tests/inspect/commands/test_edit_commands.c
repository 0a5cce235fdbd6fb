/* SPDX-License-Identifier: MIT */
/* delete, set-roles, update, disable and enable, with and without a live server. */
#include <fcntl.h>
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

#include "shm/core/mapping.h"
#include "shm/core/store_handle.h"
#include "shm/error.h"
#include "shm/segment/owner.h"
#include "tests/inspect/tool.h"
#include "tests/inspect/users_file.h"

#define ID_4 "04040404-0404-0404-0404-040404040404"

static void assert_prints(struct tool_result got, const char *out)
{
    assert_string_equal(got.err, "");
    assert_string_equal(got.out, out);
    assert_int_equal(got.exit, 0);
    tool_free(&got);
}

static void assert_fails(struct tool_result got, int code, const char *what)
{
    tool_assert_failed(&got, code, what);
    assert_string_equal(got.out, "");
    tool_free(&got);
}

/* ---- delete ---- */

static void delete_takes_the_users_it_is_given(void **state)
{
    (void)state;
    assert_prints(tool_run(ON_SEGMENT, "delete", ID_2, NULL), ID_2 " is deleted\n");
    assert_fails(tool_run(ON_SEGMENT, "get", ID_2, NULL), 1, "no user " ID_2);
    assert_fails(tool_run(ON_SEGMENT, "delete", ID_2, NULL), 1, "no user " ID_2 " in ");
    assert_prints(tool_run("--json", ON_SEGMENT, "delete", ID_3, ID_1, ID_3, NULL),
                  "{\"deleted\":[\"" ID_1 "\",\"" ID_3 "\"]}\n");
    char *users = dumped_users();
    assert_string_equal(users, "");
    free(users);
    segment_assert_verified();
}

static void delete_takes_nobody_where_one_is_missing(void **state)
{
    (void)state;
    char *before = dumped_users();
    assert_fails(tool_run(ON_SEGMENT, "delete", ID_1, ID_4, ID_2, NULL), 1, "no user " ID_4);
    assert_fails(tool_run(ON_SEGMENT, "delete", ID_1, "ada", NULL), 1,
                 "no user ada: a user is an id (a UUID)");
    assert_fails(tool_run(ON_SEGMENT, "delete", NULL), 2, "delete: USER is missing");
    char *after = dumped_users();
    assert_string_equal(after, before);
    free(before);
    free(after);
}

static void a_deleted_user_may_be_created_again(void **state)
{
    (void)state;
    assert_prints(tool_run(ON_SEGMENT, "delete", ID_1, NULL), ID_1 " is deleted\n");
    file_write("{\"id\":\"" ID_1 "\",\"username\":\"new\",\"email\":\"\",\"created_at\":1,"
               "\"roles\":[]}\n");
    assert_prints(tool_run(ON_SEGMENT, "load", file_path(), NULL),
                  "1 inserted, 0 updated, 0 unchanged, 0 refused\n");
    struct tool_result got = tool_run(ON_SEGMENT, "list", NULL);
    assert_non_null(strstr(got.out, "4\t" ID_1 "\t"));
    tool_free(&got);
    segment_assert_verified();
}

static void more_than_a_commit_takes_are_deleted_at_once(void **state)
{
    enum { COUNT = 700 };
    struct tool_result got;
    char *args[COUNT + 8] = {"src/inspect/shm-inspect", "--segment", (char *)segment_name(),
                             "delete"};
    static char ids[COUNT][UUID_TEXT_SIZE + 1];
    uint8_t id[UUID_SIZE], body[USER_BODY_MAX];
    (void)state;
    segment_open();
    segment_close();
    file_write_users(0, COUNT + 3);
    got = tool_run(ON_SEGMENT, "load", file_path(), NULL);
    assert_int_equal(got.exit, 0);
    tool_free(&got);
    for (unsigned i = 0; i < COUNT; i++) {
        user_of(id, body, i);
        uuid_to_string(ids[i], id);
        args[4 + i] = ids[i];
    }
    FILE *out = tmpfile();
    assert_non_null(out);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(fileno(out), STDOUT_FILENO);
        execv(args[0], args);
        _exit(127);
    }
    assert_int_equal(tool_wait(pid), 0);
    fclose(out);
    char *users = dumped_users();
    assert_non_null(strstr(users, "\"username\":\"user700\""));
    assert_null(strstr(users, "\"username\":\"user699\""));
    assert_non_null(strstr(users, "\"username\":\"user702\""));
    free(users);
    got = tool_run("--json", ON_SEGMENT, "status", NULL);
    struct json_object *status = json_parse(got.out);
    assert_int_equal(json_number_field(status, "users"), 3);
    json_object_put(status);
    tool_free(&got);
    segment_assert_verified();
}

/* ---- set-roles ---- */

#define ADA(roles)                                                                                 \
    "{\"id\":\"" ID_1 "\",\"username\":\"ada\",\"email\":\"ada@example.org\","                     \
    "\"created_at\":1700000000,\"roles\":[" roles "]}\n"

static void assert_ada_is(const char *line)
{
    char *users = dumped_users();
    assert_int_equal(strncmp(users, line, strlen(line)), 0);
    free(users);
}

static void set_roles_replaces_the_roles_and_nothing_else(void **state)
{
    (void)state;
    assert_ada_is(ADA("\"user\",\"admin\""));
    assert_prints(tool_run(ON_SEGMENT, "set-roles", ID_1,
                           "ops,Gr\xC3\xBC\xC3\x9F"
                           "e",
                           NULL),
                  ID_1 ": ops,Gr\xC3\xBC\xC3\x9F"
                       "e, was: user,admin\n");
    assert_ada_is(ADA("\"ops\",\"Gr\xC3\xBC\xC3\x9F"
                      "e\""));
    assert_prints(tool_run(ON_SEGMENT, "set-roles", ID_1, "", NULL),
                  ID_1 ": (none), was: ops,Gr\xC3\xBC\xC3\x9F"
                       "e\n");
    assert_ada_is(ADA(""));
    assert_prints(tool_run("--json", ON_SEGMENT, "set-roles", ID_1, "a b", NULL),
                  "{\"id\":\"" ID_1 "\",\"roles\":[\"a b\"],\"old_roles\":[]}\n");
    assert_ada_is(ADA("\"a b\""));
    segment_assert_verified();
}

static void thirty_two_long_roles_fit(void **state)
{
    char list[32 * 65 + 1] = "";
    (void)state;
    for (size_t i = 0; i < 32; i++) {
        memset(list + i * 65, 'r', 64);
        list[i * 65] = (char)('A' + i);
        list[i * 65 + 64] = i < 31 ? ',' : '\0';
    }
    struct tool_result got = tool_run(ON_SEGMENT, "set-roles", ID_3, list, NULL);
    assert_int_equal(got.exit, 0);
    tool_free(&got);
    segment_assert_verified();
}

static void a_wrong_role_is_named(void **state)
{
    static const struct {
        const char *roles, *what;
    } cases[] = {
        {"user,,admin", "set-roles: role \"\": a role is empty"},
        {",", "set-roles: role \"\": a role is empty"},
        {"user,", "set-roles: role \"\": a role is empty"},
        {"user,a\xFF", "set-roles: role \"a\xEF\xBF\xBD\": it is not UTF-8"},
        {"a\nb", "set-roles: role \"a\\nb\": a role contains a comma or a control character"},
        {"a,b,a", "set-roles: role \"a\": a role is named twice"},
        {"ok,rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr",
         "rrrrr\": a role is longer than 64 bytes"},
        {"1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32,"
         "33",
         "set-roles: there are more than 32 roles"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_fails(tool_run(ON_SEGMENT, "set-roles", ID_1, cases[i].roles, NULL), 2,
                     cases[i].what);
    assert_ada_is(ADA("\"user\",\"admin\""));
}

static void a_wrong_id_is_named(void **state)
{
    (void)state;
    assert_fails(tool_run(ON_SEGMENT, "set-roles", ID_4, "user", NULL), 1, "no user " ID_4 " in ");
    assert_fails(tool_run(ON_SEGMENT, "set-roles", "1234", "user", NULL), 1,
                 "no user 1234: a user is an id (a UUID)");
    assert_fails(tool_run(ON_SEGMENT, "set-roles", ID_1, NULL), 2,
                 "set-roles: ROLE,... is missing");
    assert_fails(tool_run(ON_SEGMENT, "set-roles", ID_1, "a", "b", NULL), 2,
                 "set-roles: unexpected argument: b");
    segment_remove();
    assert_fails(tool_run(ON_SEGMENT, "set-roles", ID_1, "user", NULL), 3, "no such segment");
    assert_fails(tool_run(ON_SEGMENT, "delete", ID_1, NULL), 3, "no such segment");
}

static void a_body_that_is_no_user_is_not_overwritten(void **state)
{
    struct shm_store *store = segment_open();
    (void)state;
    segment_insert_body(store, 2, "\x12\xFFgarbage", 9);
    assert_fails(tool_run(ON_SEGMENT, "set-roles", ID_2, "user", NULL), 4,
                 "user " ID_2 ": its body is not a User message");
}

static void unique_fields_stay_as_they_are(void **state)
{
    (void)state;
    segment_open_as((struct shm_config){
        .size = UINT64_C(1) << 30, .max_users = 10000, .unique = 3, .key_of = user_key_of});
    segment_close();
    file_write("{\"id\":\"" ID_1 "\",\"username\":\"ada\",\"email\":\"ada@Example.org\","
               "\"created_at\":1,\"roles\":[]}\n");
    assert_prints(tool_run(ON_SEGMENT, "load", file_path(), NULL),
                  "1 inserted, 0 updated, 0 unchanged, 0 refused\n");
    assert_prints(tool_run(ON_SEGMENT, "set-roles", ID_1, "ops", NULL),
                  ID_1 ": ops, was: (none)\n");
    struct tool_result got = tool_run(ON_SEGMENT, "get", "--username", "ada", NULL);
    assert_non_null(strstr(got.out, "ada@Example.org"));
    tool_free(&got);
    assert_prints(tool_run(ON_SEGMENT, "delete", ID_1, NULL), ID_1 " is deleted\n");
    file_write("{\"id\":\"" ID_2 "\",\"username\":\"ada\",\"email\":\"ada@example.org\","
               "\"created_at\":1,\"roles\":[]}\n"); /* the keys are free again */
    assert_prints(tool_run(ON_SEGMENT, "load", file_path(), NULL),
                  "1 inserted, 0 updated, 0 unchanged, 0 refused\n");
    segment_assert_verified();
}

/* ---- a live server ---- */

static void a_paused_listing_sees_the_table_as_it_was(void **state)
{
    struct shm_store *store = segment_open();
    struct shm_snapshot snapshot;
    struct shm_cursor cursor;
    struct shm_user user;
    struct user_fields fields;
    struct user_text roles[USER_ROLES_MAX];
    (void)state;
    segment_insert_three(store);
    struct shm_actor *actor = segment_join(store, SHM_ACTOR_WORKER, 0);
    assert_int_equal(shm_snapshot_begin(actor, &snapshot), SHM_OK);
    shm_cursor_first(&cursor, actor, &snapshot);
    assert_int_equal(shm_cursor_next(&cursor, &user), SHM_OK);
    shm_actor_offline(actor);

    struct tool_result got = tool_run(ON_SEGMENT, "set-roles", ID_2, "other", NULL);
    assert_int_equal(got.exit, 0);
    tool_free(&got);
    assert_prints(tool_run(ON_SEGMENT, "delete", ID_3, NULL), ID_3 " is deleted\n");

    assert_int_equal(shm_cursor_next(&cursor, &user), SHM_OK);
    assert_true(user_body_decode(&fields, roles, user.body, user.body_len));
    assert_int_equal(fields.num_roles, 2);
    assert_int_equal(shm_cursor_next(&cursor, &user), SHM_OK);
    assert_int_equal(user.id[0], 3);
    assert_int_equal(shm_cursor_next(&cursor, &user), SHM_ENOENT);
    shm_snapshot_end(actor, &snapshot);
    uint8_t id[SHM_ID_SIZE];
    memset(id, 3, sizeof(id));
    assert_int_equal(shm_user_find(actor, id, &user), SHM_ENOENT);
    shm_actor_leave(actor);
}

static void a_stopped_lock_holder_ends_a_change_with_an_error(void **state)
{
    struct shm_store *store = segment_open();
    (void)state;
    segment_insert_three(store);
    pid_t holder = segment_stopped_lock_holder(store);
    char held[64];
    snprintf(held, sizeof(held), "process %ld has held the writer lock", (long)holder);
    assert_fails(tool_run(ON_SEGMENT, "set-roles", ID_1, "a", NULL), 1, held);
    assert_fails(tool_run(ON_SEGMENT, "delete", ID_1, NULL), 1, held);
    kill(holder, SIGKILL);
    tool_wait(holder);
    assert_prints(tool_run(ON_SEGMENT, "delete", ID_1, NULL), ID_1 " is deleted\n");
    segment_assert_verified();
}

static void assert_no_writing(const char *what)
{
    assert_fails(tool_run(ON_SEGMENT, "set-roles", ID_1, "a", NULL), 1, what);
    assert_fails(tool_run(ON_SEGMENT, "delete", ID_1, NULL), 1, what);
    assert_fails(tool_run(ON_SEGMENT, "load", file_path(), NULL), 1, what);
}

static void while_a_server_starts_nothing_is_written(void **state)
{
    struct shm_store *store = segment_open();
    (void)state;
    segment_insert_three(store);
    file_write("");
    assert_int_equal(shm_guests_exclude(store->fd, store->name, NULL), SHM_OK);
    assert_no_writing("a server is checking it, to take it over");
    assert_ada_is(ADA("\"user\",\"admin\"")); /* reading still works */
    shm_guests_admit(store->fd);
    assert_prints(tool_run(ON_SEGMENT, "delete", ID_1, NULL), ID_1 " is deleted\n");
}

static void after_an_unfinished_rebuild_nothing_is_written(void **state)
{
    struct shm_store *store = segment_open();
    (void)state;
    segment_insert_three(store);
    file_write("");
    shm_control()->rebuild.to = shm_control()->ids;
    assert_no_writing(
        "its server died while it rebuilt the tables: start the server to finish that");
    shm_control()->rebuild.to = (struct shm_table){0};
    assert_prints(tool_run(ON_SEGMENT, "delete", ID_1, NULL), ID_1 " is deleted\n");
}

/* The reverse: a server must not take over a table that a tool is changing. */
static void while_a_load_is_at_work_no_server_takes_over(void **state)
{
    struct shm_config config = {
        .name = segment_name(), .size = UINT64_C(1) << 30, .max_users = 100000};
    struct shm_fault fault = {{0}};
    struct shm_store *store;
    char byte;
    int in[2], err[2];
    (void)state;
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(err, O_CLOEXEC), 0);
    pid_t pid = tool_start(in[0], err[1], err[1], ON_SEGMENT, "load", "--keep-going", "-", NULL);
    close(in[0]);
    close(err[1]);
    assert_int_equal(write(in[1], "{\n", 2), 2);
    assert_int_equal(read(err[0], &byte, 1), 1); /* it has refused the line, so it has attached */
    assert_int_equal(shm_store_open(&store, &config, &fault), SHM_EBUSY);
    assert_non_null(strstr(fault.text, "shm-inspect load"));
    close(in[1]);
    assert_int_equal(tool_wait(pid), 1);
    close(err[0]);
    segment_open();
}

static int teardown(void **state)
{
    file_remove();
    return segment_teardown(state);
}

int main(void)
{
#define TEST(test)     cmocka_unit_test_teardown(test, teardown)
#define ON_THREE(test) cmocka_unit_test_setup_teardown(test, segment_setup_three, teardown)
    const struct CMUnitTest tests[] = {
        ON_THREE(delete_takes_the_users_it_is_given),
        ON_THREE(delete_takes_nobody_where_one_is_missing),
        ON_THREE(a_deleted_user_may_be_created_again),
        TEST(more_than_a_commit_takes_are_deleted_at_once),
        ON_THREE(set_roles_replaces_the_roles_and_nothing_else),
        ON_THREE(thirty_two_long_roles_fit),
        ON_THREE(a_wrong_role_is_named),
        ON_THREE(a_wrong_id_is_named),
        TEST(a_body_that_is_no_user_is_not_overwritten),
        TEST(unique_fields_stay_as_they_are),
        TEST(a_paused_listing_sees_the_table_as_it_was),
        TEST(a_stopped_lock_holder_ends_a_change_with_an_error),
        TEST(while_a_server_starts_nothing_is_written),
        TEST(after_an_unfinished_rebuild_nothing_is_written),
        ON_THREE(while_a_load_is_at_work_no_server_takes_over),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
