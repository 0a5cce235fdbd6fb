/* SPDX-License-Identifier: MIT */
/* file_read() never blocks and never reads more than it is allowed to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* file.c itself, with a read() that changes the file. */
static int changes_by, change_fd = -1;
static ssize_t read_and_change(int fd, void *out, size_t size)
{
    ssize_t got = read(fd, out, size);
    if (change_fd >= 0 && changes_by != 0) {
        struct stat st;
        fstat(change_fd, &st);
        (void)!ftruncate(change_fd, st.st_size + changes_by);
        changes_by = 0;
    }
    return got;
}
#define read read_and_change
#include "src/base/file.c"
#undef read

#include <cmocka.h>

#include "tests/base/dumped.h"

static char folder[] = "/tmp/rosterd-test-file-XXXXXX", path[64];

static void write_file(const char *text, size_t len)
{
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    assert_int_equal(fwrite(text, 1, len, out), len);
    fclose(out);
}

static void assert_refused(const char *name, size_t max, const char *why)
{
    struct file file;
    struct fault fault;
    assert_false(file_read(&file, name, max, &fault));
    assert_string_equal(fault.text, why);
    assert_null(file.text);
    file_free(&file);
}

static void whole_file_is_read(void **state)
{
    struct file file;
    (void)state;
    write_file("some\0text\n", 10);
    chmod(path, 0640);
    assert_true(file_read(&file, path, 10, NULL));
    assert_int_equal(file.len, 10);
    assert_memory_equal(file.text, "some\0text\n", 11);
    assert_int_equal(file.mode, 0640);
    file_free(&file);
    write_file("", 0);
    assert_true(file_read(&file, path, 10, NULL));
    assert_int_equal(file.len, 0);
    assert_string_equal(file.text, "");
    file_free(&file);
    assert_true(file_read(&file, "/dev/null", 10, NULL));
    assert_int_equal(file.len, 0);
    file_free(&file);
}

static void text_is_in_no_core_dump(void **state)
{
    struct file file;
    (void)state;
    write_file("a key", 5);
    assert_true(file_read(&file, path, 10, NULL));
    assert_true(is_left_out(file.text));
    file_free(&file);
}

static void what_is_no_file_is_refused_without_a_wait(void **state)
{
    char other[80];
    (void)state;
    snprintf(other, sizeof(other), "%s/other", folder);
    assert_refused(other, 10, "No such file or directory");
    assert_refused(folder, 10, "Is a directory");
    assert_refused("/dev/zero", 10, "it is not a regular file");
    assert_int_equal(mkfifo(other, 0600), 0);
    assert_refused(other, 10, "it is not a regular file");
    unlink(other);
    assert_int_equal(symlink(other, other), 0);
    assert_refused(other, 10, "Too many levels of symbolic links");
    unlink(other);
}

static void large_file_is_refused(void **state)
{
    (void)state;
    write_file("x", 1);
    assert_int_equal(truncate(path, (off_t)1 << 40), 0);
    assert_refused(path, 1 << 20, "it is larger than 1M");
}

static void file_that_changes_meanwhile_is_refused(void **state)
{
    (void)state;
    for (int by = -2; by <= 2; by += 4) {
        write_file("ten bytes.", 10);
        change_fd = open(path, O_WRONLY);
        changes_by = by;
        assert_refused(path, 100, "it changed while it was read");
        close(change_fd);
        change_fd = -1;
    }
}

static int make_folder(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(path, sizeof(path), "%s/file", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_file_is_read),
        cmocka_unit_test(text_is_in_no_core_dump),
        cmocka_unit_test(what_is_no_file_is_refused_without_a_wait),
        cmocka_unit_test(large_file_is_refused),
        cmocka_unit_test(file_that_changes_meanwhile_is_refused),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
