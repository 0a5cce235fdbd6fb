/* SPDX-License-Identifier: MIT */
/* shm-inspect started by root, on the segment of a server that runs as another user. */
#include <fcntl.h>
#include <grp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "shm/counters.h"
#include "tests/inspect/tool.h"

enum { SERVER = 12345 }; /* the id of its user and its group */

static pid_t server;
static char directory[64]; /* only root may enter it */

static const char *file_path(void)
{
    static char path[128];
    snprintf(path, sizeof(path), "%s/users.jsonl", directory);
    return path;
}

/* The server, in a child process. A failure must end the child, not continue with the tests. */
static void serve(int ready)
{
    static const char *const names[] = {"calls"};
    struct shm_counters *counters;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (setgroups(0, NULL) != 0 || setgid(SERVER) != 0 || setuid(SERVER) != 0)
        _exit(1);
    struct shm_config config = {
        .name = segment_name(), .size = UINT64_C(1) << 30, .max_users = 100000};
    struct shm_store *store;
    if (shm_store_open(&store, &config, NULL) != SHM_OK ||
        shm_counters_open(&counters, segment_name(), names, 1, NULL) != SHM_OK)
        _exit(1);
    shm_counter_add(shm_counters_row(counters, 0), 7);
    segment_insert_three(store);
    if (write(ready, "", 1) != 1)
        _exit(1);
    for (;;)
        pause();
}

static int setup(void **state)
{
    int ends[2];
    char byte;
    (void)state;
    (void)segment_name(); /* before the fork, so that the server uses the same name */
    snprintf(directory, sizeof(directory), "/tmp/rosterd-test-XXXXXX");
    if (geteuid() != 0 || pipe2(ends, O_CLOEXEC) != 0 || mkdtemp(directory) == NULL)
        return geteuid() != 0 ? 0 : -1;
    server = fork();
    if (server == 0)
        serve(ends[1]);
    close(ends[1]);
    ssize_t got = read(ends[0], &byte, 1);
    close(ends[0]);
    return got == 1 ? 0 : -1;
}

static void end_server(void)
{
    if (server == 0)
        return;
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    server = 0;
}

static int teardown(void **state)
{
    char temporary[140];
    (void)state;
    end_server();
    segment_remove();
    snprintf(temporary, sizeof(temporary), "%s.tmp", file_path());
    unlink(temporary);
    unlink(file_path());
    rmdir(directory);
    return 0;
}

/* ---- what works ---- */

static bool is_root(void)
{
    if (geteuid() == 0)
        return true;
    print_message("not run as root: skipped\n");
    return false;
}

static void assert_works(const char *expected, const char *const args[4])
{
    struct tool_result got = tool_run(ON_SEGMENT, args[0], args[1], args[2], args[3], (char *)NULL);
    if (got.exit != 0 || got.err[0] != '\0' || strstr(got.out, expected) == NULL)
        fail_msg("%s: exit %d, \"%s\" is not in: %s; stderr: %s", args[0], got.exit, expected,
                 got.out, got.err);
    tool_free(&got);
}
#define WORKS(expected, ...) assert_works(expected, (const char *const[4]){__VA_ARGS__})

static void each_reading_command_works(void **state)
{
    (void)state;
    if (!is_root())
        return;
    WORKS("users           3 of", "status");
    WORKS(ID_3, "list");
    WORKS("username  bob", "get", ID_2);
    WORKS(": 0 faults", "verify");
    WORKS("slot kind", "workers");
    WORKS("", "readers");
    WORKS("7  calls", "stats", "--raw");
    WORKS(ID_1, "tail", "--from=0", "--limit=1");
    WORKS("\"rosterd_dump_end\":2", "dump");
}

static void watch_works(void **state)
{
    struct tool_running tool;
    (void)state;
    if (!is_root())
        return;
    tool_follow(&tool, ON_SEGMENT, "--json", "watch", "0.1", NULL);
    for (int i = 0; i < 2; i++) {
        const char *line = tool_line(&tool);
        assert_non_null(line);
        assert_non_null(strstr(line, "\"present\":true"));
        assert_non_null(strstr(line, "\"calls\":{\"value\":7,"));
    }
    kill(tool.pid, SIGTERM);
    struct tool_result got = tool_end(&tool);
    assert_int_equal(got.exit, 0);
    tool_free(&got);
}

static void users_in_a_file_of_root_are_dumped_and_loaded(void **state)
{
    struct stat st;
    (void)state;
    if (!is_root())
        return;
    WORKS("3 users as of version", "dump", "--output", file_path());
    assert_int_equal(stat(file_path(), &st), 0);
    assert_int_equal(st.st_uid, 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    WORKS("is deleted", "delete", ID_2);
    WORKS("1 inserted, 0 updated, 2 unchanged, 0 refused", "load", file_path());
    WORKS("ops, was: user,admin", "set-roles", ID_2, "ops");
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
/* If the segment's addresses are taken, the tool restarts before it opens a file. Otherwise the
 * keeper of the first process would remove the temporary file of the second. */
static void a_tool_that_restarts_creates_its_file_once(void **state)
{
    struct rlimit whole, less;
    char events[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
    int made = 0, watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    (void)state;
    if (!is_root())
        return;
    assert_true(inotify_add_watch(watch, directory, IN_CREATE) >= 0);
    assert_int_equal(getrlimit(RLIMIT_AS, &whole), 0);
    less = (struct rlimit){.rlim_cur = UINT64_C(4) << 30, .rlim_max = whole.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_AS, &less), 0);
    WORKS("3 users as of version", "dump", "--output", file_path());
    assert_int_equal(setrlimit(RLIMIT_AS, &whole), 0);
    ssize_t got = read(watch, events, sizeof(events));
    for (ssize_t at = 0; at < got; made++)
        at += (ssize_t)sizeof(struct inotify_event) +
              ((const struct inotify_event *)(const void *)(events + at))->len;
    assert_int_equal(made, 1);
    close(watch);
}
#endif

/* The check whether a dump fits reads the file before the load does. */
static void load_sees_whose_lines_are_new_in_a_file_of_root(void **state)
{
    (void)state;
    if (!is_root())
        return;
    FILE *file = fopen(file_path(), "w");
    assert_non_null(file);
    fprintf(file, "{\"rosterd_dump\":2,\"segment\":\"/x\",\"version\":7,\"users\":99999}\n");
    for (unsigned i = 0; i < 99999; i++)
        fprintf(file,
                "{\"id\":\"aaaaaaaa-0000-4000-8000-%012x\",\"username\":\"u%u\",\"email\":\"\","
                "\"created_at\":1700000000,\"roles\":[]}\n",
                i, i);
    fprintf(file, "{\"rosterd_dump_end\":2,\"users\":99999}\n");
    fclose(file);
    assert_int_equal(chmod(file_path(), 0600), 0);
    struct tool_result got = tool_run(ON_SEGMENT, "load", file_path(), NULL);
    tool_assert_failed(&got, 1,
                       "99999 users of the dump are new, but the table has room for only 99997");
    tool_free(&got);
}

static void unlink_works_on_a_dead_servers_segment(void **state)
{
    (void)state;
    if (!is_root())
        return;
    end_server();
    WORKS(" removed\n", "unlink");
}

/* ---- rights ---- */

static void assert_line(const char *status, const char *line)
{
    if (strstr(status, line) == NULL)
        fail_msg("\"%s\" is not in %s", line, status);
}

/* A tool that has printed a line has mapped the segment. */
static void running_tool_has_the_servers_rights_alone(void **state)
{
    struct tool_running tool;
    char path[64], status[4096];
    (void)state;
    if (!is_root())
        return;
    tool_follow(&tool, ON_SEGMENT, "tail", "--from", "0", NULL);
    assert_non_null(tool_line(&tool));
    snprintf(path, sizeof(path), "/proc/%d/status", (int)tool.pid);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    status[fread(status, 1, sizeof(status) - 1, file)] = '\0';
    fclose(file);
    kill(tool.pid, SIGTERM);
    struct tool_result got = tool_end(&tool);
    tool_free(&got);
    assert_line(status, "\nUid:\t12345\t12345\t12345\t12345\n");
    assert_line(status, "\nGid:\t12345\t12345\t12345\t12345\n");
    assert_line(status, "\nGroups:\t \n");
    assert_line(status, "\nCapPrm:\t0000000000000000\n");
    assert_line(status, "\nCapEff:\t0000000000000000\n");
}

int main(void)
{
#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_SERVER(each_reading_command_works),
        WITH_SERVER(watch_works),
        WITH_SERVER(users_in_a_file_of_root_are_dumped_and_loaded),
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
        /* not with sanitizers: they need much address space themselves */
        WITH_SERVER(a_tool_that_restarts_creates_its_file_once),
#endif
        WITH_SERVER(load_sees_whose_lines_are_new_in_a_file_of_root),
        WITH_SERVER(unlink_works_on_a_dead_servers_segment),
        WITH_SERVER(running_tool_has_the_servers_rights_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
