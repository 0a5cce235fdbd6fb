/* SPDX-License-Identifier: MIT */
/* Commands on a table that is kept in a data file. The test is the server and its journal. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "shm/disk.h"
#include "shm/error.h"
#include "tests/inspect/tool.h"
#include "tests/inspect/users_file.h"

#define DATA_FILE "/nowhere/users.db"

static struct shm_store *store;
static struct shm_actor *journal;

static void open_durable(bool durable)
{
    const struct shm_config config = {
        .size = UINT64_C(1) << 30, .max_users = 20000, .data_file = DATA_FILE, .durable = durable};
    store = segment_open_as(config);
    journal = segment_join(store, SHM_ACTOR_JOURNAL, 0);
    segment_insert_three(store);
}

static void end_server(void)
{
    shm_actor_leave(journal);
    segment_close();
}

/* Writes nothing anywhere, but says that all is on disk. */
static void publish(void)
{
    struct shm_info info;
    struct shm_disk_info disk;
    shm_store_info(store, &info);
    shm_disk_info(store, &disk);
    struct shm_follower follower = {0};
    struct shm_change change;
    assert_int_equal(shm_feed_follow(NULL, &follower, disk.version), SHM_OK);
    while (shm_feed_next_until(&follower, info.version, &change) == SHM_OK)
        ;
    const struct shm_durable durable = {
        .version = info.version, .feed = follower.next, .users = info.users_newest};
    assert_int_equal(shm_publish(journal, &durable), SHM_OK);
}

static void await_version(uint64_t version)
{
    for (unsigned i = 0; i < 2000 && shm_newest(store) < version; i++)
        usleep(5000);
    assert_true(shm_newest(store) >= version);
}

/* The tool's output so far, of a running tool that prints one line at most. */
struct running {
    pid_t pid;
    int out, err;
};

static struct running start(const char *command, const char *operand)
{
    int out[2], err[2];
    assert_int_equal(pipe2(out, O_CLOEXEC | O_NONBLOCK), 0);
    assert_int_equal(pipe2(err, O_CLOEXEC | O_NONBLOCK), 0);
    struct running tool = {.out = out[0], .err = err[0]};
    tool.pid = tool_start(-1, out[1], err[1], ON_SEGMENT, command, operand, NULL);
    close(out[1]);
    close(err[1]);
    return tool;
}

static void assert_silent(const struct running *tool)
{
    char byte;
    assert_int_equal(read(tool->out, &byte, 1), -1);
    assert_int_equal(waitpid(tool->pid, NULL, WNOHANG), 0);
}

static void assert_text(int fd, const char *expected)
{
    char text[1024] = "";
    ssize_t len = read(fd, text, sizeof(text) - 1);
    text[len > 0 ? len : 0] = '\0';
    assert_string_equal(text, expected);
    close(fd);
}

static void assert_ends(struct running *tool, int code, const char *out, const char *err)
{
    assert_int_equal(tool_wait(tool->pid), code);
    assert_text(tool->out, out);
    assert_text(tool->err, err);
}

static void assert_prints(struct tool_result got, const char *out, const char *err)
{
    assert_string_equal(got.out, out);
    assert_string_equal(got.err, err);
    assert_int_equal(got.exit, 0);
    tool_free(&got);
}

static void assert_published(uint64_t users)
{
    struct shm_info info;
    shm_store_info(store, &info);
    assert_int_equal(info.users, users);
}

/* ---- writing ---- */

static void delete_tells_what_is_on_disk(void **state)
{
    (void)state;
    open_durable(true);
    publish();
    struct running tool = start("delete", ID_2);
    await_version(4);
    usleep(200000); /* time in which it could end */
    assert_silent(&tool);
    assert_published(3);
    publish();
    assert_ends(&tool, 0, ID_2 " is deleted\n", "");
    assert_published(2);
    end_server();
}

static void set_roles_tells_what_is_on_disk(void **state)
{
    (void)state;
    open_durable(true);
    publish();
    struct running tool = start("delete", ID_1);
    await_version(4);
    struct tool_result got = tool_run(ON_SEGMENT, "set-roles", ID_1, "admin", NULL);
    tool_assert_failed(&got, 1, "no user " ID_1); /* though readers still see it */
    tool_free(&got);
    publish();
    assert_ends(&tool, 0, ID_1 " is deleted\n", "");
    int out[2];
    assert_int_equal(pipe2(out, O_CLOEXEC | O_NONBLOCK), 0);
    pid_t pid = tool_start(-1, out[1], -1, ON_SEGMENT, "set-roles", ID_2, "admin", NULL);
    close(out[1]);
    await_version(5);
    usleep(200000);
    assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
    publish();
    assert_int_equal(tool_wait(pid), 0);
    assert_text(out[0], ID_2 ": admin, was: user,admin\n");
    end_server();
}

static void load_takes_a_user_twice_before_the_first_is_on_disk(void **state)
{
    (void)state;
    open_durable(true);
    publish();
    file_write("{\"id\":\"04040404-0404-0404-0404-040404040404\",\"username\":\"eve\","
               "\"email\":\"\",\"created_at\":1,\"roles\":[]}\n"
               "{\"id\":\"04040404-0404-0404-0404-040404040404\",\"username\":\"eve\","
               "\"email\":\"\",\"created_at\":1,\"roles\":[\"admin\"]}\n"
               "{\"id\":\"04040404-0404-0404-0404-040404040404\",\"username\":\"eve\","
               "\"email\":\"\",\"created_at\":1,\"roles\":[\"admin\"]}\n");
    struct running tool = start("load", file_path());
    await_version(5);
    usleep(200000);
    assert_silent(&tool);
    publish();
    assert_ends(&tool, 0, "1 inserted, 1 updated, 1 unchanged, 0 refused\n", "");
    end_server();
}

static void write_many_users(unsigned count)
{
    size_t size = count * 128;
    char *lines = malloc(size), *at = lines;
    assert_non_null(lines);
    for (unsigned i = 0; i < count; i++)
        at += snprintf(at, size - (size_t)(at - lines),
                       "{\"id\":\"00000000-0000-4000-8000-%012u\",\"username\":\"u%u\","
                       "\"email\":\"\",\"created_at\":1,\"roles\":[]}\n",
                       i, i);
    file_write(lines);
    free(lines);
}

static void load_waits_for_a_journal_that_is_behind(void **state)
{
    (void)state;
    open_durable(true);
    publish();
    write_many_users(10000);
    struct running tool = start("load", file_path());
    await_version(3 + 8192 / 256);
    usleep(2000000); /* longer than it waits for the writer lock */
    assert_silent(&tool);
    assert_true(shm_newest(store) <= 3 + 8192 / 256);
    publish();
    await_version(3 + 40);
    usleep(100000);
    publish();
    assert_ends(&tool, 0, "10000 inserted, 0 updated, 0 unchanged, 0 refused\n", "");
    end_server();
}

static void full_disk_is_told(void **state)
{
    char err[256];
    (void)state;
    open_durable(true);
    publish();
    shm_disk_set_state(store, SHM_DISK_FULL, 28);
    struct running tool = start("delete", ID_2);
    snprintf(err, sizeof(err),
             "shm-inspect: %s: written, but not on disk yet: the disk of the data file is full\n",
             segment_name());
    assert_ends(&tool, 1, "", err);
    shm_disk_set_state(store, SHM_DISK_FAILED, 5);
    struct tool_result got = tool_run(ON_SEGMENT, "delete", ID_1, NULL);
    tool_assert_failed(&got, 1, "the data file has failed");
    tool_free(&got);
    end_server();
}

static void failed_file_ends_the_wait(void **state)
{
    char err[256];
    (void)state;
    open_durable(true);
    publish();
    struct running tool = start("delete", ID_2);
    await_version(4);
    shm_disk_set_state(store, SHM_DISK_FAILED, 5);
    snprintf(err, sizeof(err),
             "shm-inspect: %s: written, but not on disk yet: the data file has failed\n",
             segment_name());
    assert_ends(&tool, 1, "", err);
    end_server();
}

/* ---- without a server ---- */

static void write_without_a_server_is_not_shown_before_the_next(void **state)
{
    char err[256];
    (void)state;
    open_durable(true);
    publish();
    end_server();
    snprintf(err, sizeof(err),
             "shm-inspect: %s has no server: what was written is in memory only, and lost with it, "
             "until one starts and writes it to " DATA_FILE "; it is not shown before\n",
             segment_name());
    assert_prints(tool_run(ON_SEGMENT, "delete", ID_2, NULL), ID_2 " is deleted\n", err);
    struct tool_result got = tool_run(ON_SEGMENT, "get", ID_2, NULL);
    assert_int_equal(got.exit, 0); /* the old state */
    tool_free(&got);
    got = tool_run(ON_SEGMENT, "delete", ID_2, NULL);
    tool_assert_failed(&got, 1, "no user " ID_2);
    tool_free(&got);
    segment_assert_verified();
}

static void write_without_a_server_that_does_not_wait_is_shown(void **state)
{
    char err[256];
    (void)state;
    open_durable(false);
    end_server();
    snprintf(err, sizeof(err),
             "shm-inspect: %s has no server: what was written is in memory only, and lost with it, "
             "until one starts and writes it to " DATA_FILE "\n",
             segment_name());
    assert_prints(tool_run(ON_SEGMENT, "delete", ID_2, NULL), ID_2 " is deleted\n", err);
    struct tool_result got = tool_run(ON_SEGMENT, "get", ID_2, NULL);
    tool_assert_failed(&got, 1, "no user " ID_2);
    tool_free(&got);
}

static void load_without_a_server_is_not_held_back(void **state)
{
    (void)state;
    open_durable(true);
    publish();
    end_server();
    write_many_users(19998);
    struct tool_result got = tool_run(ON_SEGMENT, "load", file_path(), NULL);
    assert_int_equal(got.exit, 1);
    assert_string_equal(got.out, "19997 inserted, 0 updated, 0 unchanged, 0 refused\n");
    assert_non_null(strstr(got.err, "the table is full: max-users is 20000"));
    tool_free(&got);
    segment_assert_verified();
}

static void server_that_ends_is_not_waited_for(void **state)
{
    (void)state;
    open_durable(true);
    publish();
    struct running tool = start("delete", ID_2);
    await_version(4);
    end_server();
    assert_int_equal(tool_wait(tool.pid), 0);
    assert_text(tool.out, ID_2 " is deleted\n");
    close(tool.err);
}

/* ---- status ---- */

static struct json_object *status(void)
{
    struct tool_result got = tool_run("--json", ON_SEGMENT, "status", NULL);
    assert_int_equal(got.exit, 0);
    struct json_object *object = json_parse(got.out);
    tool_free(&got);
    return object;
}

static void assert_status(const char *state_name, const char *error, uint64_t published,
                          uint64_t behind)
{
    struct json_object *object = status();
    struct json_object *disk = json_field(object, "journal");
    assert_string_equal(json_string_field(disk, "state"), state_name);
    assert_string_equal(json_string_field(disk, "error"), error);
    assert_string_equal(json_string_field(disk, "data_file"), DATA_FILE);
    assert_int_equal(json_number_field(disk, "version"), published);
    assert_int_equal(json_number_field(disk, "commits_behind"), behind);
    assert_int_equal(json_number_field(object, "published"), published);
    assert_int_equal(json_number_field(object, "version"), published + behind);
    json_object_put(object);
}

static void assert_status_text(const char *what)
{
    struct tool_result got = tool_run(ON_SEGMENT, "status", NULL);
    if (strstr(got.out, what) == NULL)
        fail_msg("\"%s\" is not in %s", what, got.out);
    tool_free(&got);
}

static void status_shows_the_journal(void **state)
{
    char line[128];
    (void)state;
    open_durable(true);
    assert_status("ok", "", 0, 3);
    publish();
    assert_status("ok", "", 3, 0);
    snprintf(line, sizeof(line),
             "data file       " DATA_FILE "\njournal         ok, process %d\n"
             "on disk         version 3, 0 commits behind\n",
             (int)getpid());
    assert_status_text(line);
    shm_disk_set_state(store, SHM_DISK_FULL, 28);
    assert_status("full", "No space left on device", 3, 0);
    assert_status_text(", No space left on device\n");
    shm_disk_set_state(store, SHM_DISK_REWRITING, 5);
    assert_status("rewriting", "Input/output error", 3, 0);
    shm_disk_set_state(store, SHM_DISK_FAILED, 5);
    assert_status("failed", "Input/output error", 3, 0);
    shm_disk_set_state(store, SHM_DISK_OK, 0);
    struct tool_result got = tool_run(ON_SEGMENT, "workers", NULL);
    assert_non_null(strstr(got.out, " journal "));
    tool_free(&got);
    end_server();
    assert_status("stopped", "", 3, 0);
    assert_status_text("journal         stopped\n");
}

static void table_in_memory_has_no_journal(void **state)
{
    (void)state;
    segment_setup_three(NULL);
    struct json_object *object = status();
    assert_string_equal(json_string_field(json_field(object, "journal"), "state"), "none");
    json_object_put(object);
    assert_status_text("data file       none: the table is in memory only\n");
}

static void tail_knows_published_commits_only(void **state)
{
    (void)state;
    open_durable(true);
    struct tool_result got = tool_run(ON_SEGMENT, "tail", "--from", "3", NULL);
    tool_assert_failed(&got, 1, "--from: version 3 does not exist yet, the latest is 0");
    tool_free(&got);
    publish();
    got = tool_run(ON_SEGMENT, "tail", "--from", "4", NULL);
    tool_assert_failed(&got, 1, "--from: version 4 does not exist yet, the latest is 3");
    tool_free(&got);
    end_server();
}

static int remove_all(void **state)
{
    file_remove();
    return segment_teardown(state);
}

int main(void)
{
#define DURABLE(test) cmocka_unit_test_teardown(test, remove_all)
    const struct CMUnitTest tests[] = {
        DURABLE(delete_tells_what_is_on_disk),
        DURABLE(set_roles_tells_what_is_on_disk),
        DURABLE(load_takes_a_user_twice_before_the_first_is_on_disk),
        DURABLE(load_waits_for_a_journal_that_is_behind),
        DURABLE(full_disk_is_told),
        DURABLE(failed_file_ends_the_wait),
        DURABLE(write_without_a_server_is_not_shown_before_the_next),
        DURABLE(write_without_a_server_that_does_not_wait_is_shown),
        DURABLE(load_without_a_server_is_not_held_back),
        DURABLE(server_that_ends_is_not_waited_for),
        DURABLE(tail_knows_published_commits_only),
        DURABLE(status_shows_the_journal),
        DURABLE(table_in_memory_has_no_journal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
