/* SPDX-License-Identifier: MIT */
/* shm-inspect backup. */
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
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "shm/store.h"
#include "tests/inspect/data_kit.h"
#include "tests/inspect/tool.h"

enum { USERS = 1000, AS_OF = 42 };

static const char *backup_path(void)
{
    return kit_path("backup");
}

static void fill_kit(void)
{
    kit_write(kit_data_file(), 1, USERS, AS_OF);
    kit_segment(1);
}

static void assert_backup(struct tool_result got, const char *path, uint64_t users)
{
    if (got.exit != 0)
        fail_msg("exit %d: %s", got.exit, got.err);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    char line[512];
    snprintf(line, sizeof(line), "%llu users as of version %llu, %lld bytes: %s\n",
             (unsigned long long)users, (unsigned long long)(AS_OF + users - USERS),
             (long long)st.st_size, path);
    assert_string_equal(got.out, line);
    assert_string_equal(got.err, "");
    assert_int_equal(kit_read(path).count, users);
    tool_free(&got);
}

/* Nothing of the attempt is left. @param files what is in the directory then */
static void assert_refused(struct tool_result got, int code, const char *what, const char *files)
{
    tool_assert_failed(&got, code, what);
    assert_string_equal(kit_files(), files);
    tool_free(&got);
}

static void backup_is_made_while_the_server_lives(void **state)
{
    (void)state;
    fill_kit();
    kit_commit(kit_data_file()); /* this one is in the log only */
    assert_backup(tool_run(ON_SEGMENT, "backup", backup_path(), NULL), backup_path(), USERS + 1);
}

static void backup_is_made_from_a_dead_servers_record(void **state)
{
    (void)state;
    fill_kit();
    segment_close();
    assert_backup(tool_run(ON_SEGMENT, "backup", backup_path(), NULL), backup_path(), USERS);
}

static void backup_needs_no_slot(void **state)
{
    static struct shm_actor *actors[SHM_SLOTS];
    struct shm_fault fault;
    unsigned taken = 0;
    (void)state;
    kit_write(kit_data_file(), 1, USERS, AS_OF);
    struct shm_store *store = kit_segment(1);
    while (taken < SHM_SLOTS &&
           shm_actor_join(&actors[taken], store, SHM_ACTOR_WORKER, 0, &fault) == SHM_OK)
        taken++;
    assert_true(taken > 100);
    struct tool_result got = tool_run(ON_SEGMENT, "backup", backup_path(), NULL);
    while (taken > 0)
        shm_actor_leave(actors[--taken]);
    assert_backup(got, backup_path(), USERS);
}

static void backup_needs_no_segment(void **state)
{
    (void)state;
    kit_write(kit_data_file(), 1, USERS, AS_OF);
    struct tool_result got =
        tool_run(ON_SEGMENT, "--data-file", kit_data_file(), "backup", backup_path(), NULL);
    assert_backup(got, backup_path(), USERS);
    got = tool_run(ON_SEGMENT, "backup", kit_path("other"), NULL);
    tool_assert_failed(&got, 3, "no such segment; --data-file PATH");
    tool_free(&got);
}

static void backup_waits_for_the_end_of_a_replacement(void **state)
{
    char new_name[600];
    (void)state;
    fill_kit();
    snprintf(new_name, sizeof(new_name), "%s.new", kit_data_file());
    close(open(new_name, O_CREAT | O_WRONLY, 0600));
    pid_t child = fork();
    if (child == 0) {
        nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL);
        _exit(unlink(new_name));
    }
    assert_true(child > 0);
    assert_backup(tool_run(ON_SEGMENT, "backup", backup_path(), NULL), backup_path(), USERS);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void summary_is_an_object(void **state)
{
    (void)state;
    fill_kit();
    struct tool_result got = tool_run(ON_SEGMENT, "--json", "backup", backup_path(), NULL);
    assert_int_equal(got.exit, 0);
    struct json_object *object = json_parse(got.out);
    struct stat st;
    assert_int_equal(stat(backup_path(), &st), 0);
    assert_int_equal(json_number_field(object, "users"), USERS);
    assert_int_equal(json_number_field(object, "version"), AS_OF);
    assert_int_equal(json_number_field(object, "bytes"), st.st_size);
    assert_string_equal(json_string_field(object, "data_file"), kit_data_file());
    assert_string_equal(json_string_field(object, "output"), backup_path());
    json_object_put(object);
    tool_free(&got);
}

static void path_may_be_relative(void **state)
{
    char here[512], path[600];
    (void)state;
    fill_kit();
    assert_non_null(getcwd(here, sizeof(here)));
    snprintf(path, sizeof(path), "backup-%d", (int)getpid());
    struct tool_result got = tool_run(ON_SEGMENT, "backup", path, NULL);
    assert_int_equal(got.exit, 0);
    assert_int_equal(kit_read(path).count, USERS);
    snprintf(path, sizeof(path), "%s/backup-%d", here, (int)getpid());
    for (const char *suffix = "-wal"; suffix != NULL; suffix = *suffix != '\0' ? "" : NULL) {
        char name[620];
        snprintf(name, sizeof(name), "%s%s", path, suffix);
        unlink(name);
    }
    tool_free(&got);
}

static void existing_file_is_refused(void **state)
{
    (void)state;
    fill_kit();
    kit_write(backup_path(), 2, 5, 5);
    const char *files = "backup users.db ";
    assert_refused(tool_run(ON_SEGMENT, "backup", backup_path(), NULL), 1, "backup: exists", files);
    assert_int_equal(kit_read(backup_path()).count, 5);
    /* A link that leads nowhere is something, too. */
    assert_int_equal(symlink("nowhere", kit_path("link")), 0);
    struct tool_result got = tool_run(ON_SEGMENT, "backup", kit_path("link"), NULL);
    tool_assert_failed(&got, 1, "link: exists");
    tool_free(&got);
    kit_write(kit_path("other.tmp"), 2, 5, 5);
    got = tool_run(ON_SEGMENT, "backup", kit_path("other"), NULL);
    tool_assert_failed(&got, 1, "other.tmp: exists");
    tool_free(&got);
    assert_int_equal(kit_read(kit_path("other.tmp")).count, 5);
}

static void names_beside_the_data_file_are_refused(void **state)
{
    static const char *const names[] = {"users.db-wal", "users.db-journal", "users.db.lock",
                                        "users.db.tmp", "users.db.new"};
    (void)state;
    fill_kit();
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_refused(tool_run(ON_SEGMENT, "backup", kit_path(names[i]), NULL), 1,
                       "this name belongs to the data file", "users.db ");
}

static void damaged_file_is_named_and_not_kept(void **state)
{
    (void)state;
    fill_kit();
    kit_damage(kit_data_file());
    struct tool_result got = tool_run(ON_SEGMENT, "backup", backup_path(), NULL);
    tool_assert_failed(&got, 1, " is damaged: ");
    assert_non_null(strstr(got.err, "the user with seq "));
    tool_free(&got);
    assert_int_equal(access(backup_path(), F_OK), -1);
    assert_int_equal(access(kit_path("backup.tmp"), F_OK), -1);
}

static void missing_file_is_named(void **state)
{
    (void)state;
    kit_segment(1);
    assert_refused(tool_run(ON_SEGMENT, "backup", backup_path(), NULL), 1,
                   "users.db: No such file or directory", "");
}

static void table_in_memory_has_no_backup(void **state)
{
    (void)state;
    segment_setup_three(NULL);
    assert_refused(tool_run(ON_SEGMENT, "backup", backup_path(), NULL), 1,
                   "its table is in memory only: it has no data file", "");
}

static void full_disk_leaves_nothing(void **state)
{
    struct rlimit whole, less;
    (void)state;
    fill_kit();
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &whole), 0);
    less = (struct rlimit){.rlim_cur = 60000, .rlim_max = whole.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &less), 0);
    struct tool_result got = tool_run(ON_SEGMENT, "backup", backup_path(), NULL);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &whole), 0);
    tool_assert_failed(&got, 1, "the disk is full");
    tool_free(&got);
    assert_int_equal(access(kit_path("backup.tmp"), F_OK), -1);
}

static void wrong_usage_is_told(void **state)
{
    (void)state;
    fill_kit();
    assert_refused(tool_run(ON_SEGMENT, "backup", NULL), 2, "FILE is missing", "users.db ");
    assert_refused(tool_run(ON_SEGMENT, "backup", "a", "b", NULL), 2, "unexpected argument: b",
                   "users.db ");
    assert_refused(tool_run(ON_SEGMENT, "--data-file", "x", "list", NULL), 2,
                   "--data-file cannot be used with list", "users.db ");
    assert_refused(tool_run(ON_SEGMENT, "backup", kit_path("no/where"), NULL), 1, "No such file",
                   "users.db ");
}

/* Starts a backup that takes a while, and waits until its temporary file is there. */
static pid_t start_long_backup(int *err)
{
    int ends[2];
    kit_write(kit_data_file(), 1, 400000, AS_OF);
    kit_segment(1);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t pid = tool_start(-1, -1, ends[1], ON_SEGMENT, "backup", backup_path(), NULL);
    close(ends[1]);
    for (unsigned i = 0; i < 20000 && access(kit_path("backup.tmp"), F_OK) != 0; i++)
        usleep(500);
    *err = ends[0];
    return pid;
}

static void assert_ends_with(pid_t pid, int err, const char *what)
{
    char text[256] = "";
    assert_int_equal(tool_wait(pid), 1);
    assert_true(read(err, text, sizeof(text) - 1) > 0);
    close(err);
    assert_non_null(strstr(text, what));
    assert_int_equal(access(kit_path("backup.tmp"), F_OK), -1);
}

static void interrupted_backup_leaves_nothing(void **state)
{
    int err;
    (void)state;
    pid_t pid = start_long_backup(&err);
    assert_int_equal(kill(pid, SIGINT), 0);
    assert_ends_with(pid, err, "backup: interrupted\n");
    assert_int_equal(access(backup_path(), F_OK), -1);
}

static void file_that_appears_meanwhile_is_not_replaced(void **state)
{
    int err;
    (void)state;
    pid_t pid = start_long_backup(&err);
    kit_write(kit_path("other"), 2, 5, 5);
    assert_int_equal(link(kit_path("other"), backup_path()), 0);
    assert_ends_with(pid, err, "backup: cannot make it: File exists\n");
    assert_int_equal(kit_read(backup_path()).count, 5);
}

int main(void)
{
#define IN_KIT(test) cmocka_unit_test_setup_teardown(test, kit_make, kit_remove)
    const struct CMUnitTest tests[] = {
        IN_KIT(backup_is_made_while_the_server_lives),
        IN_KIT(backup_is_made_from_a_dead_servers_record),
        IN_KIT(backup_needs_no_slot),
        IN_KIT(backup_needs_no_segment),
        IN_KIT(backup_waits_for_the_end_of_a_replacement),
        IN_KIT(summary_is_an_object),
        IN_KIT(path_may_be_relative),
        IN_KIT(existing_file_is_refused),
        IN_KIT(names_beside_the_data_file_are_refused),
        IN_KIT(damaged_file_is_named_and_not_kept),
        IN_KIT(missing_file_is_named),
        IN_KIT(table_in_memory_has_no_backup),
        IN_KIT(full_disk_leaves_nothing),
        IN_KIT(wrong_usage_is_told),
        IN_KIT(interrupted_backup_leaves_nothing),
        IN_KIT(file_that_appears_meanwhile_is_not_replaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
