/* SPDX-License-Identifier: MIT */
/* shm-inspect backup and restore started by root, for the data file of another user. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/inspect/data_kit.h"
#include "tests/inspect/tool.h"

enum { SERVICE = 12345 }; /* the id of the server's user and its group */

static char roots[64]; /* only root may enter it */

static const char *roots_path(const char *name)
{
    static char paths[4][128];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof(paths[0]), "%s/%s", roots, name);
    return path;
}

/* Everything in the directory, and the directory, becomes the server's. */
static void give_away(void)
{
    struct dirent *entry;
    DIR *folder = opendir(kit_path("."));
    assert_non_null(folder);
    while ((entry = readdir(folder)) != NULL)
        if (strcmp(entry->d_name, "..") != 0)
            assert_int_equal(lchown(kit_path(entry->d_name), SERVICE, SERVICE), 0);
    closedir(folder);
}

/* Leaves the segment of a server that has ended. */
static void serve_and_end(void)
{
    int status;
    (void)segment_name(); /* before the fork: the same name */
    pid_t pid = fork();
    if (pid == 0) {
        if (setgroups(0, NULL) != 0 || setgid(SERVICE) != 0 || setuid(SERVICE) != 0)
            _exit(1);
        kit_segment(1);
        segment_close();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static int setup(void **state)
{
    snprintf(roots, sizeof(roots), "/tmp/rosterd-test-root-XXXXXX");
    return kit_make(state) == 0 && mkdtemp(roots) != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    static const char *const names[] = {"backup", "backup.tmp", "root.db"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        unlink(roots_path(names[i]));
    rmdir(roots);
    return kit_remove(state);
}

static bool runs_as_root(void)
{
    if (geteuid() == 0)
        return true;
    print_message("not run as root: skipped\n");
    return false;
}

static void assert_owner(const char *path, uid_t uid)
{
    struct stat st;
    if (lstat(path, &st) != 0)
        fail_msg("%s: %s", path, strerror(errno));
    assert_int_equal(st.st_uid, uid);
    assert_int_equal(st.st_gid, uid);
    assert_int_equal(st.st_mode & 07777, 0600);
}

static void assert_done(struct tool_result got)
{
    if (got.exit != 0 || got.err[0] != '\0')
        fail_msg("exit %d: %s", got.exit, got.err);
    tool_free(&got);
}

/* The directory of root is closed to the server's user, and that of the server to nobody but it. */
static void backup_belongs_to_root_and_can_be_restored(void **state)
{
    struct tool_result got;
    char kept[256] = "";
    (void)state;
    if (!runs_as_root())
        return;
    kit_write(kit_data_file(), 1, 1000, 42);
    kit_commit(kit_data_file());
    give_away();
    serve_and_end();
    assert_done(tool_run(ON_SEGMENT, "backup", roots_path("backup"), NULL));
    assert_owner(roots_path("backup"), 0);
    assert_int_equal(access(roots_path("backup.tmp"), F_OK), -1);
    assert_int_equal(kit_read(roots_path("backup")).count, 1001);
    got = tool_run(ON_SEGMENT, "restore", roots_path("backup"), NULL);
    assert_int_equal(got.exit, 0);
    const char *second = strchr(got.out, '\n') + 1;
    assert_int_equal(sscanf(second, "the old data file is kept as %255s", kept), 1);
    tool_free(&got);
    assert_owner(kit_data_file(), SERVICE);
    assert_owner(kit_path("users.db.lock"), SERVICE);
    assert_owner(kept, SERVICE);
    assert_int_equal(kit_segments_aside(), 1);
}

static void file_that_is_named_says_whose_rights_are_used(void **state)
{
    (void)state;
    if (!runs_as_root())
        return;
    kit_write(kit_data_file(), 1, 1000, 42);
    give_away();
    assert_done(
        tool_run(ON_SEGMENT, "--data-file", kit_data_file(), "backup", roots_path("backup"), NULL));
    assert_owner(roots_path("backup"), 0);
    /* Without a file its directory says it. */
    assert_int_equal(unlink(kit_data_file()), 0);
    assert_done(tool_run(ON_SEGMENT, "--data-file", kit_data_file(), "restore",
                         roots_path("backup"), NULL));
    assert_owner(kit_data_file(), SERVICE);
}

/* The server's user cannot have root copy or replace a file that only root may use. */
static void link_of_the_service_leads_nowhere(void **state)
{
    struct tool_result got;
    (void)state;
    if (!runs_as_root())
        return;
    kit_write(roots_path("root.db"), 1, 10, 42);
    kit_write(kit_path("backup"), 2, 5, 5);
    assert_int_equal(symlink(roots_path("root.db"), kit_data_file()), 0);
    give_away();
    got =
        tool_run(ON_SEGMENT, "--data-file", kit_data_file(), "backup", roots_path("backup"), NULL);
    tool_assert_failed(&got, 1, "Permission denied");
    tool_free(&got);
    assert_int_equal(access(roots_path("backup"), F_OK), -1);
    assert_int_equal(access(roots_path("backup.tmp"), F_OK), -1);
    got = tool_run(ON_SEGMENT, "--data-file", kit_data_file(), "restore", kit_path("backup"), NULL);
    tool_assert_failed(&got, 1, "Permission denied");
    tool_free(&got);
    assert_int_equal(kit_read(roots_path("root.db")).count, 10);
}

static void killed_backup_of_root_leaves_nothing(void **state)
{
    (void)state;
    if (!runs_as_root())
        return;
    kit_write(kit_data_file(), 1, 400000, 42);
    give_away();
    serve_and_end();
    pid_t pid = tool_start(-1, -1, -1, ON_SEGMENT, "backup", roots_path("backup"), NULL);
    struct stat st = {.st_size = 0}; /* with pages in the file the tool is not root any more */
    for (unsigned i = 0; i < 20000 && st.st_size == 0; i++) {
        if (stat(roots_path("backup.tmp"), &st) != 0)
            st.st_size = 0;
        usleep(500);
    }
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(tool_wait(pid), 128 + SIGKILL);
    for (unsigned i = 0; i < 20000 && access(roots_path("backup.tmp"), F_OK) == 0; i++)
        usleep(500);
    assert_int_equal(access(roots_path("backup.tmp"), F_OK), -1);
    assert_int_equal(access(roots_path("backup"), F_OK), -1);
}

int main(void)
{
#define AS_ROOT(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        AS_ROOT(backup_belongs_to_root_and_can_be_restored),
        AS_ROOT(file_that_is_named_says_whose_rights_are_used),
        AS_ROOT(link_of_the_service_leads_nowhere),
        AS_ROOT(killed_backup_of_root_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
