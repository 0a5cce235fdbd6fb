/* SPDX-License-Identifier: MIT */
/* A new file in place of an old one: whenever the process dies, the name leads to one of them. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "journal/data_os.h"
#include "tests/journal/data_support.h"

static struct model model, old_model;

/* The calls that are left until the process dies. */
static int calls_left;
static struct data_os real_os;

static void die_in_time(void)
{
    if (calls_left-- == 0)
        _exit(77);
}

static int create_or_die(const char *path)
{
    die_in_time();
    return real_os.create(path);
}

static int rename_or_die(const char *from, const char *to)
{
    die_in_time();
    return real_os.rename(from, to);
}

static int unlink_or_die(const char *path)
{
    die_in_time();
    return real_os.unlink(path);
}

static int sync_folder_or_die(const char *path)
{
    die_in_time();
    return real_os.sync_folder(path);
}

static int link_or_die(const char *path, const char *second)
{
    die_in_time();
    return real_os.link(path, second);
}

/* Runs in a process of its own, which dies before its n-th call. @return whether it died */
static bool dies_at(int call, enum data_result (*run)(struct fault *fault))
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        struct fault fault;
        real_os = data_os;
        data_os = (struct data_os){create_or_die, rename_or_die, unlink_or_die, sync_folder_or_die,
                                   link_or_die};
        calls_left = call;
        enum data_result result = run(&fault);
        if (result != DATA_OK)
            print_error("%s\n", fault.text);
        _exit(result == DATA_OK ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && (WEXITSTATUS(status) == 77 || WEXITSTATUS(status) == 0));
    return WEXITSTATUS(status) == 77;
}

static enum data_result run_rewrite(struct fault *fault)
{
    return model_rewrite(&model, data_file_name, fault);
}

static enum data_result run_open(struct fault *fault)
{
    struct data_file *file;
    struct data_meta meta;
    enum data_result result = data_file_open(&file, data_file_name, DATA_SYNC_FULL, &meta, fault);
    if (result == DATA_OK)
        data_file_close(file, false);
    return result;
}

static enum data_result run_create(struct fault *fault)
{
    struct data_file *file;
    const struct data_meta meta = model_meta(&model);
    enum data_result result = data_file_create(&file, data_file_name, DATA_SYNC_FULL, &meta, fault);
    if (result == DATA_OK)
        data_file_close(file, false);
    return result;
}

/* An old file whose log has what the file lacks, and the model of the new one. */
static void make_old_file(void)
{
    struct fault fault;
    data_folder_clear(NULL);
    struct data_file *file = create_file(&model);
    assert_result(DATA_OK, model_commit(&model, file, 1, 200, 0, &fault));
    data_file_close(file, true);
    file = open_file();
    assert_result(DATA_OK, model_commit(&model, file, 50, 120, 3, &fault));
    data_file_close(file, false);
    assert_true(data_exists("-wal"));
    old_model = model;
    model_change(&model, 90, 210, 60);
}

/* @return whether it is the new one; fails the test if it is neither */
static bool is_new_after_open(void)
{
    struct fault fault;
    data_file_close(open_file(), false);
    assert_false(data_exists(".new"));
    assert_false(data_exists(".tmp"));
    if (model_equals(&model, data_file_name, &fault))
        return true;
    assert_model(&old_model, data_file_name);
    return false;
}

static void rewrite_that_dies_leaves_one_of_the_files(void **state)
{
    bool was_new = false;
    int calls = 0;
    (void)state;
    for (bool died = true; died; calls++) {
        make_old_file();
        died = dies_at(calls, run_rewrite);
        bool is_new = is_new_after_open();
        assert_false(was_new && !is_new); /* there is one step from which on it is the new one */
        was_new = is_new;
    }
    assert_true(was_new);
    assert_true(calls > 12);
}

/* The rewrite dies, then the one that goes on dies as well. */
static void opening_that_dies_is_finished_by_the_next(void **state)
{
    struct fault fault;
    (void)state;
    for (int first = 0; first < 40; first++) {
        bool died = true, done = false;
        for (int second = 0; died; second++) {
            make_old_file();
            done = !dies_at(first, run_rewrite);
            bool will_be_new = data_exists(".new") || model_equals(&model, data_file_name, &fault);
            died = dies_at(second, run_open);
            assert_int_equal(is_new_after_open(), will_be_new);
        }
        if (done)
            return;
    }
    fail();
}

static void creation_that_dies_leaves_nothing_or_a_file(void **state)
{
    struct fault fault;
    struct data_file *file;
    struct data_meta meta;
    bool was_there = false;
    (void)state;
    memset(&model, 0, sizeof(model));
    for (int call = 0, died = true; died; call++) {
        data_folder_clear(NULL);
        died = dies_at(call, run_create);
        enum data_result result =
            data_file_open(&file, data_file_name, DATA_SYNC_FULL, &meta, &fault);
        assert_result(was_there || !died ? DATA_OK : result, result);
        if (result == DATA_OK) {
            data_file_close(file, true);
            assert_model(&model, data_file_name);
            was_there = true;
        } else {
            assert_result(DATA_NONE, result);
        }
    }
}

static void symbolic_link_stays(void **state)
{
    struct fault fault;
    struct stat st;
    char link[96];
    (void)state;
    snprintf(link, sizeof(link), "%s", data_name("link"));
    assert_int_equal(mkdir(data_name("sub"), 0700), 0);
    assert_int_equal(symlink("sub/../link2", link), 0);
    assert_int_equal(symlink("sub/target?mode=memory%20#x", data_name("link2")), 0);
    memset(&model, 0, sizeof(model));
    const struct data_meta meta = model_meta(&model);
    struct data_file *file;
    assert_result(DATA_OK, data_file_create(&file, link, DATA_SYNC_FULL, &meta, &fault));
    assert_result(DATA_OK, model_commit(&model, file, 1, 20, 0, &fault));
    data_file_close(file, false);
    const char *target = data_name("sub/target?mode=memory%20#x");
    assert_model(&model, target);
    model_change(&model, 10, 30, 1);
    assert_result(DATA_OK, model_rewrite(&model, link, &fault));
    assert_model(&model, target);
    assert_model(&model, link);
    assert_int_equal(lstat(link, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(lstat(data_name("link2"), &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(lstat(target, &st), 0);
    assert_true(S_ISREG(st.st_mode));
    assert_int_equal(st.st_mode & 07777, 0600);
    unlink(target);
    static const char *const suffixes[] = {"-wal", "-shm"};
    for (int i = 0; i < 2; i++) {
        char name[192];
        snprintf(name, sizeof(name), "%s%s", target, suffixes[i]);
        unlink(name);
    }
    assert_int_equal(rmdir(data_name("sub")), 0);
}

/* Names that SQLite would take for something else. */
static void any_bytes_make_a_name(void **state)
{
    static const char *const names[] = {
        "file:a.db?mode=memory", ":memory:", "a\nb", "%41", "'\"", "\xff\xfe"};
    struct fault fault;
    struct data_meta meta;
    int home = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    (void)state;
    assert_int_equal(chdir(data_folder), 0);
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        struct data_file *file;
        memset(&model, 0, sizeof(model));
        meta = model_meta(&model);
        assert_result(DATA_OK, data_file_create(&file, names[i], DATA_SYNC_FULL, &meta, &fault));
        assert_result(DATA_OK, model_commit(&model, file, 1, 3, 0, &fault));
        data_file_close(file, true);
        assert_int_equal(access(data_name(names[i]), F_OK), 0);
        assert_model(&model, names[i]);
    }
    char longest[300];
    memset(longest, 'x', 250);
    longest[250] = '\0';
    struct data_rows *rows;
    assert_result(DATA_NONE, data_rows_open(&rows, longest, &meta, &fault));
    char deep[900] = "";
    for (int i = 0; i < 120; i++)
        strcat(deep, "y/../");
    assert_int_equal(mkdir("y", 0700), 0);
    strcat(deep, "file");
    assert_result(DATA_NONE, data_rows_open(&rows, deep, &meta, &fault)); /* it is short in fact */
    assert_int_equal(rmdir("y"), 0);
    memset(longest, 'x', sizeof(longest) - 1);
    longest[299] = '\0';
    assert_result(DATA_FAILED, data_rows_open(&rows, longest, &meta, &fault));
    assert_non_null(strstr(fault.text, "File name too long"));
    assert_int_equal(fchdir(home), 0);
    close(home);
}

static void move_away(const char *name)
{
    assert_int_equal(rename(name, data_name("elsewhere")), 0);
}

/* The name still leads to it, but the next start looks for the log beside the link's target. */
static void move_behind_link(const char *name)
{
    move_away(name);
    assert_int_equal(symlink("elsewhere", name), 0);
}

static void cut_off(const char *name)
{
    assert_int_equal(truncate(name, 1000), 0);
}

/* The file of this name is another one, or less of it, so nobody would find a commit. */
static void moved_file_takes_no_commits(void **state)
{
    static const char *const suffixes[] = {"", "-wal"};
    static void (*const harms[])(const char *name) = {move_away, move_behind_link, cut_off};
    struct fault fault;
    char name[128];
    (void)state;
    for (int i = 0; i < 6; i++) {
        data_folder_clear(NULL);
        struct data_file *file = create_file(&model);
        assert_result(DATA_OK, model_commit(&model, file, 1, 3, 0, &fault));
        snprintf(name, sizeof(name), "%s%s", data_file_name, suffixes[i % 2]);
        if (harms[i / 2] == cut_off)
            assert_result(DATA_OK, model_commit(&model, file, 20, 2000, 0, &fault));
        harms[i / 2](name);
        assert_result(DATA_FAILED, model_commit(&model, file, 4, 5, 0, &fault));
        assert_non_null(strstr(fault.text, "was moved, removed or cut off while in use"));
        assert_result(DATA_FAILED, data_file_begin(file, &fault));
        data_file_close(file, false);
        assert_result(DATA_OK, model_rewrite(&model, data_file_name, &fault));
        assert_model(&model, data_file_name);
    }
}

/* It would replace the file, and the log would be removed with all that is in it. */
static void stranger_of_the_new_files_name_costs_nothing(void **state)
{
    struct fault fault;
    struct data_meta meta;
    struct data_file *file = create_file(&model);
    char name[128];
    (void)state;
    assert_result(DATA_OK, model_commit(&model, file, 1, 300, 0, &fault));
    data_file_close(file, false);
    snprintf(name, sizeof(name), "%s.new", data_file_name);
    for (int i = 0; i < 3; i++) {
        if (i == 0) {
            assert_int_equal(mkdir(name, 0700), 0);
        } else {
            FILE *stranger = fopen(name, "w");
            assert_non_null(stranger);
            assert_true(i == 1 || fputs("SQLite format 3", stranger) >= 0);
            fclose(stranger);
        }
        assert_result(DATA_INVALID,
                      data_file_open(&file, data_file_name, DATA_SYNC_FULL, &meta, &fault));
        assert_non_null(strstr(fault.text, ".new beside it is no whole data file"));
        assert_int_equal(remove(name), 0);
    }
    assert_model(&model, data_file_name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(rewrite_that_dies_leaves_one_of_the_files, data_folder_clear),
        cmocka_unit_test_setup(opening_that_dies_is_finished_by_the_next, data_folder_clear),
        cmocka_unit_test_setup(creation_that_dies_leaves_nothing_or_a_file, data_folder_clear),
        cmocka_unit_test_setup(symbolic_link_stays, data_folder_clear),
        cmocka_unit_test_setup(any_bytes_make_a_name, data_folder_clear),
        cmocka_unit_test_setup(moved_file_takes_no_commits, data_folder_clear),
        cmocka_unit_test_setup(stranger_of_the_new_files_name_costs_nothing, data_folder_clear),
    };
    return cmocka_run_group_tests(tests, data_folder_make, data_folder_remove);
}
