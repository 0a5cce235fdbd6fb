/* SPDX-License-Identifier: MIT */
/* shm-inspect restore. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "journal/data_lock.h"
#include "shm/store.h"
#include "tests/inspect/data_kit.h"
#include "tests/inspect/tool.h"

enum { STORE = 1, OTHER_STORE = 2 };

static const char *backup_path(void)
{
    return kit_path("backup");
}

/* A backup of 500 users; the data file has gone on since. */
static void fill_kit(void)
{
    kit_write(backup_path(), STORE, 500, 42);
    kit_write(kit_data_file(), STORE, 1000, 90);
}

/* The old file is as it was. */
static void assert_refused(struct tool_result got, int code, const char *what)
{
    tool_assert_failed(&got, code, what);
    tool_free(&got);
    assert_int_equal(access(kit_path("users.db.tmp"), F_OK), -1);
    const struct data_meta meta = kit_read(kit_data_file());
    assert_int_equal(meta.count, 1000);
    assert_int_equal(meta.version, 90);
    assert_int_equal(meta.store[0], STORE);
    assert_int_equal(kit_segments_aside(), 0);
}

static void assert_restored(const struct tool_result *got, uint64_t version)
{
    char line[512];
    if (got->exit != 0)
        fail_msg("exit %d: %s", got->exit, got->err);
    snprintf(line, sizeof(line), "500 users, now version %llu: %s\n", (unsigned long long)version,
             kit_data_file());
    if (strncmp(got->out, line, strlen(line)) != 0)
        fail_msg("\"%s\" is not the start of: %s", line, got->out);
    assert_string_equal(got->err, "");
    const struct data_meta meta = kit_read(kit_data_file());
    assert_int_equal(meta.count, 500);
    assert_int_equal(meta.version, version);
    assert_int_equal(meta.seq, 1000);
    assert_false(meta.store[0] == STORE && meta.store[1] == STORE);
}

static void backup_takes_the_place_of_the_file(void **state)
{
    char kept[256], segment[256];
    (void)state;
    fill_kit();
    kit_segment(STORE);
    segment_close();
    struct tool_result got = tool_run(ON_SEGMENT, "restore", backup_path(), NULL);
    assert_restored(&got, 91);
    const char *second = strchr(got.out, '\n') + 1;
    assert_int_equal(sscanf(second,
                            "the old data file is kept as %255s\nthe old segment is kept as %255s",
                            kept, segment),
                     2);
    assert_int_equal(kit_read(kept).count, 1000);
    assert_int_equal(kit_segments_aside(), 1);
    tool_free(&got);
    got = tool_run("--segment", segment, "--json", "status", NULL);
    assert_int_equal(got.exit, 0);
    tool_free(&got);
    got = tool_run(ON_SEGMENT, "status", NULL);
    tool_assert_failed(&got, 3, "no such segment");
    tool_free(&got);
}

/* The segment has commits that the file does not have: nobody may see their versions again. */
static void version_is_behind_that_of_the_segment(void **state)
{
    (void)state;
    kit_write(backup_path(), STORE, 2, 1);
    kit_write(kit_data_file(), STORE, 2, 1);
    kit_segment(STORE);
    segment_close();
    struct tool_result got = tool_run(ON_SEGMENT, "--json", "restore", backup_path(), NULL);
    assert_int_equal(got.exit, 0);
    struct json_object *object = json_parse(got.out);
    assert_int_equal(json_number_field(object, "users"), 2);
    assert_int_equal(json_number_field(object, "version"), 4);
    assert_string_equal(json_string_field(object, "data_file"), kit_data_file());
    assert_int_equal(strncmp(json_string_field(object, "old_data_file"), kit_data_file(),
                             strlen(kit_data_file())),
                     0);
    assert_int_equal(
        strncmp(json_string_field(object, "old_segment"), segment_name(), strlen(segment_name())),
        0);
    json_object_put(object);
    tool_free(&got);
    assert_int_equal(kit_read(kit_data_file()).seq, 3);
}

static void file_can_be_named_without_a_segment(void **state)
{
    (void)state;
    fill_kit();
    struct tool_result got =
        tool_run(ON_SEGMENT, "--data-file", kit_data_file(), "restore", backup_path(), NULL);
    assert_restored(&got, 91);
    assert_null(strstr(got.out, "segment"));
    tool_free(&got);
}

static void missing_file_is_made_anew(void **state)
{
    (void)state;
    kit_write(backup_path(), STORE, 500, 42);
    struct tool_result got =
        tool_run(ON_SEGMENT, "--data-file", kit_data_file(), "restore", backup_path(), NULL);
    assert_int_equal(got.exit, 0);
    assert_null(strstr(got.out, "old"));
    assert_int_equal(kit_read(kit_data_file()).count, 500);
    tool_free(&got);
}

static void segment_of_another_table_is_left_alone(void **state)
{
    (void)state;
    fill_kit();
    segment_setup_three(NULL); /* of a table in memory */
    struct tool_result got =
        tool_run(ON_SEGMENT, "--data-file", kit_data_file(), "restore", backup_path(), NULL);
    assert_restored(&got, 91);
    assert_int_equal(kit_segments_aside(), 0);
    tool_free(&got);
}

/* The file has been moved since the segment's server ran. */
static void segment_of_the_same_table_belongs_to_the_file(void **state)
{
    (void)state;
    fill_kit();
    const char *moved = kit_path("moved.db");
    kit_segment(STORE);
    assert_int_equal(rename(kit_data_file(), moved), 0);
    struct tool_result got =
        tool_run(ON_SEGMENT, "--data-file", moved, "restore", backup_path(), NULL);
    tool_assert_failed(&got, 1, "a server uses it: stop the server first");
    tool_free(&got);
    assert_int_equal(kit_read(moved).count, 1000);
    segment_close();
    got = tool_run(ON_SEGMENT, "--data-file", moved, "restore", backup_path(), NULL);
    assert_int_equal(got.exit, 0);
    assert_int_equal(kit_segments_aside(), 1);
    tool_free(&got);
}

static void file_in_use_is_refused(void **state)
{
    struct fault fault;
    char words[64];
    int lock;
    (void)state;
    fill_kit();
    kit_segment(STORE);
    assert_refused(tool_run(ON_SEGMENT, "restore", backup_path(), NULL), 1,
                   "a server uses it: stop the server first");
    segment_close();
    assert_int_equal(data_lock_server(kit_data_file(), &lock, &fault), DATA_OK);
    snprintf(words, sizeof(words), "another rosterd uses it (pid %d)", (int)getpid());
    assert_refused(tool_run(ON_SEGMENT, "restore", backup_path(), NULL), 1, words);
    close(lock);
    assert_int_equal(data_lock_writer(kit_data_file(), 0, &lock, &fault), DATA_OK);
    assert_refused(tool_run(ON_SEGMENT, "restore", backup_path(), NULL), 1,
                   "another process writes it");
    close(lock);
    struct tool_result got = tool_run(ON_SEGMENT, "restore", backup_path(), NULL);
    assert_restored(&got, 91);
    tool_free(&got);
}

static void damaged_backup_is_refused_and_named(void **state)
{
    (void)state;
    fill_kit();
    kit_segment(STORE);
    segment_close();
    kit_damage(backup_path());
    assert_refused(tool_run(ON_SEGMENT, "restore", backup_path(), NULL), 1,
                   "backup: the user with seq ");
    assert_int_equal(truncate(backup_path(), 8192), 0);
    assert_refused(tool_run(ON_SEGMENT, "restore", backup_path(), NULL), 1, "backup: ");
    assert_int_equal(truncate(backup_path(), 0), 0);
    assert_refused(tool_run(ON_SEGMENT, "restore", backup_path(), NULL), 1,
                   "backup: is not a data file of rosterd");
}

static void what_is_no_backup_is_refused(void **state)
{
    (void)state;
    fill_kit();
    kit_segment(STORE);
    segment_close();
    assert_refused(tool_run(ON_SEGMENT, "restore", kit_path("none"), NULL), 1,
                   "none: cannot open it: No such file or directory");
    assert_refused(tool_run(ON_SEGMENT, "restore", kit_path("."), NULL), 1, "not a regular file");
    assert_refused(tool_run(ON_SEGMENT, "restore", kit_data_file(), NULL), 1,
                   "is the data file itself");
    /* A copy of a data file that was in use: its last commits are in its log. */
    kit_commit(backup_path());
    assert_refused(tool_run(ON_SEGMENT, "restore", backup_path(), NULL), 1,
                   "is not a backup: beside it lies ");
}

static void segment_without_a_file_has_nothing_to_restore(void **state)
{
    (void)state;
    fill_kit();
    assert_refused(tool_run(ON_SEGMENT, "restore", backup_path(), NULL), 3,
                   "no such segment; --data-file PATH says where the data file is");
    segment_setup_three(NULL);
    assert_refused(tool_run(ON_SEGMENT, "restore", backup_path(), NULL), 1,
                   "its table is in memory only");
}

static void interrupted_restore_leaves_the_old_file(void **state)
{
    (void)state;
    fill_kit();
    kit_write(kit_path("large"), STORE, 400000, 42);
    pid_t pid = tool_start(-1, -1, open("/dev/null", O_WRONLY | O_CLOEXEC), ON_SEGMENT,
                           "--data-file", kit_data_file(), "restore", kit_path("large"), NULL);
    for (unsigned i = 0; i < 40000 && access(kit_path("users.db.tmp"), F_OK) != 0; i++)
        usleep(500);
    assert_int_equal(kill(pid, SIGTERM), 0);
    assert_int_equal(tool_wait(pid), 1);
    assert_int_equal(access(kit_path("users.db.tmp"), F_OK), -1);
    assert_int_equal(kit_read(kit_data_file()).count, 1000);
}

static void full_disk_leaves_the_old_file(void **state)
{
    struct rlimit whole, less;
    (void)state;
    fill_kit();
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &whole), 0);
    less = (struct rlimit){.rlim_cur = 50000, .rlim_max = whole.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &less), 0);
    struct tool_result got =
        tool_run(ON_SEGMENT, "--data-file", kit_data_file(), "restore", backup_path(), NULL);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &whole), 0);
    assert_refused(got, 1, "the disk is full");
}

int main(void)
{
#define IN_KIT(test) cmocka_unit_test_setup_teardown(test, kit_make, kit_remove)
    const struct CMUnitTest tests[] = {
        IN_KIT(backup_takes_the_place_of_the_file),
        IN_KIT(version_is_behind_that_of_the_segment),
        IN_KIT(file_can_be_named_without_a_segment),
        IN_KIT(missing_file_is_made_anew),
        IN_KIT(segment_of_another_table_is_left_alone),
        IN_KIT(segment_of_the_same_table_belongs_to_the_file),
        IN_KIT(file_in_use_is_refused),
        IN_KIT(damaged_backup_is_refused_and_named),
        IN_KIT(what_is_no_backup_is_refused),
        IN_KIT(segment_without_a_file_has_nothing_to_restore),
        IN_KIT(full_disk_leaves_the_old_file),
        IN_KIT(interrupted_restore_leaves_the_old_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
