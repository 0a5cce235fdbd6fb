/* SPDX-License-Identifier: MIT */
/* When the file of the process id is there, and which files it never replaces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/os/pid_file.h"

static char directory[] = "/tmp/rosterd-test-pid-file-XXXXXX";
static char path[64], next[64];

static void write_text(const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void assert_text(const char *expected)
{
    char text[64] = "";
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t len = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[len] = '\0';
    assert_string_equal(text, expected);
}

static void assert_own(void)
{
    char own[32];
    snprintf(own, sizeof(own), "%d\n", (int)getpid());
    assert_text(own);
}

static void assert_none(const char *name)
{
    assert_int_equal(access(name, F_OK), -1);
}

static void file_is_there_from_publish_to_remove(void **state)
{
    (void)state;
    struct pid_file file = {.path = ""};
    struct stat st;
    assert_true(pid_file_prepare(&file, path, NULL));
    assert_none(path);
    assert_true(pid_file_publish(&file, NULL));
    assert_own();
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0133, 0); /* nobody else may write it */
    pid_file_remove(&file);
    assert_none(path);
    assert_none(next);
}

static void failed_start_leaves_the_file_of_the_running_server(void **state)
{
    (void)state;
    struct pid_file file = {.path = ""};
    write_text("77\n");
    assert_true(pid_file_prepare(&file, path, NULL));
    pid_file_remove(&file);
    assert_text("77\n");
    assert_none(next);
    unlink(path);
}

static void file_that_a_successor_has_replaced_stays(void **state)
{
    (void)state;
    struct pid_file file = {.path = ""};
    assert_true(pid_file_prepare(&file, path, NULL));
    assert_true(pid_file_publish(&file, NULL));
    write_text("77\n");
    pid_file_remove(&file);
    assert_text("77\n");
    unlink(path);
}

static void files_of_a_killed_server_are_replaced(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "77\n", "77"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct pid_file file = {.path = ""};
        write_text(texts[i]);
        assert_int_equal(link(path, next), 0);
        assert_true(pid_file_prepare(&file, path, NULL));
        assert_text(texts[i]);
        assert_true(pid_file_publish(&file, NULL));
        assert_own();
        pid_file_remove(&file);
    }
}

static void assert_refused(const char *name, const char *reason)
{
    struct pid_file file = {.path = ""};
    struct fault fault;
    assert_false(pid_file_prepare(&file, name, &fault));
    assert_non_null(strstr(fault.text, reason));
    assert_memory_equal(fault.text, name, 20);
    assert_false(pid_file_check(name, &fault));
    pid_file_remove(&file);
}

static void other_files_are_refused_and_stay(void **state)
{
    (void)state;
    static const char *const texts[] = {"77 78\n", "user = root\n", "\n", "77\n\n",
                                        "77777777777777777777777"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        write_text(texts[i]);
        assert_refused(path, "something else than a process id");
        assert_text(texts[i]);
    }
    unlink(path);
    assert_int_equal(symlink("/dev/null", path), 0);
    assert_refused(path, "no regular file");
    unlink(path);
    assert_refused(directory, "no regular file");
}

static void path_that_cannot_be_written_is_refused(void **state)
{
    (void)state;
    char inside[128], long_path[PATH_MAX + 1];
    snprintf(inside, sizeof(inside), "%s/none/pid", directory);
    assert_refused(inside, "No such file or directory");
    memset(long_path, 'x', PATH_MAX);
    long_path[PATH_MAX] = '\0';
    assert_refused(long_path, "File name too long");
}

static void without_a_path_nothing_is_written(void **state)
{
    (void)state;
    struct pid_file file = {.path = ""};
    assert_true(pid_file_check(NULL, NULL));
    assert_true(pid_file_prepare(&file, NULL, NULL));
    assert_true(pid_file_publish(&file, NULL));
    pid_file_remove(&file);
    assert_int_equal(rmdir(directory), 0);
    assert_int_equal(mkdir(directory, 0700), 0);
}

static int make_directory(void **state)
{
    (void)state;
    if (mkdtemp(directory) == NULL)
        return -1;
    snprintf(path, sizeof(path), "%s/pid", directory);
    snprintf(next, sizeof(next), "%s/pid.new", directory);
    return 0;
}

static int remove_directory(void **state)
{
    (void)state;
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(file_is_there_from_publish_to_remove),
        cmocka_unit_test(failed_start_leaves_the_file_of_the_running_server),
        cmocka_unit_test(file_that_a_successor_has_replaced_stays),
        cmocka_unit_test(files_of_a_killed_server_are_replaced),
        cmocka_unit_test(other_files_are_refused_and_stay),
        cmocka_unit_test(path_that_cannot_be_written_is_refused),
        cmocka_unit_test(without_a_path_nothing_is_written),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
