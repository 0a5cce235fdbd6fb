/* SPDX-License-Identifier: MIT */
/* Backups as files, and a backup that takes the place of a data file. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "journal/data_os.h"
#include "journal/data_restore.h"
#include "tests/journal/data_support.h"

/* What the backup has, and what the old file has when it is replaced. */
static struct model backed_up, old;
static char backup_name[DATA_KEPT_SIZE];

static void make_backup_and_go_on(void)
{
    struct fault fault;
    struct data_meta meta;
    data_folder_clear(NULL);
    snprintf(backup_name, sizeof(backup_name), "%s/backup", data_folder);
    memset(&old, 0, sizeof(old));
    struct data_file *file = create_file(&old);
    assert_result(DATA_OK, model_commit(&old, file, 1, 100, 0, &fault));
    assert_result(DATA_OK, make_backup(backup_name, NULL, NULL, &meta, &fault));
    backed_up = old;
    assert_result(DATA_OK, model_commit(&old, file, 50, 130, 7, &fault));
    data_file_close(file, false);
    assert_true(data_exists("-wal"));
}

static enum data_result run_restore(struct data_restore *restore, struct fault *fault)
{
    restore->path = data_file_name;
    restore->name = backup_name;
    restore->from = open(backup_name, O_RDONLY | O_CLOEXEC);
    assert_true(restore->from >= 0);
    enum data_result result = data_restore_look(restore, fault);
    if (result == DATA_OK)
        result = data_restore_run(restore, fault);
    close(restore->from);
    return result;
}

/* The users of the backup, in a file whose version is another. */
static void assert_restored(const struct data_meta *meta)
{
    struct model expected = backed_up;
    expected.version = meta->version;
    expected.seq = meta->seq;
    expected.store = meta->store;
    expected.num_deletes = expected.num_requests = 0; /* of its past nothing is known */
    assert_int_equal(meta->feed, meta->version);
    assert_model(&expected, data_file_name);
}

static void restored_file_has_the_users_and_a_history_of_its_own(void **state)
{
    struct fault fault;
    struct data_meta backup;
    struct data_restore restore = {.version = 1000, .seq = 500};
    (void)state;
    make_backup_and_go_on();
    assert_result(DATA_OK, check_backup_of(backup_name, &backup, &fault));
    assert_result(DATA_OK, run_restore(&restore, &fault));
    assert_false(data_exists("-wal")); /* the old one's */
    assert_restored(&restore.meta);
    assert_int_equal(restore.meta.version, 1001); /* behind what the caller has seen */
    assert_int_equal(restore.meta.seq, 500);
    assert_memory_not_equal(restore.meta.store, backup.store, DATA_ID_SIZE);
    assert_model(&old, restore.kept);
    struct stat st;
    assert_int_equal(stat(data_file_name, &st), 0);
    assert_int_equal(st.st_nlink, 1);
    assert_int_equal(st.st_mode & 07777, 0600);
    /* Without a caller's word it is behind what the old file has seen. */
    struct data_restore again = {.version = 0};
    assert_result(DATA_OK, run_restore(&again, &fault));
    assert_int_equal(again.meta.version, 1002);
    assert_int_equal(again.meta.seq, 500);
    assert_memory_not_equal(again.meta.store, restore.meta.store, DATA_ID_SIZE);
    assert_string_not_equal(again.kept, restore.kept);
}

static void flip(const char *path, off_t at, unsigned char bits)
{
    unsigned char byte;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= bits;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

static void missing_file_is_made(void **state)
{
    struct fault fault;
    struct data_restore restore = {.version = 0};
    (void)state;
    make_backup_and_go_on();
    run_sql(data_file_name, "PRAGMA wal_checkpoint(TRUNCATE)");
    assert_int_equal(unlink(data_file_name), 0);
    assert_result(DATA_OK, run_restore(&restore, &fault));
    assert_false(restore.old_is_valid);
    assert_string_equal(restore.kept, "");
    assert_int_equal(restore.meta.version, backed_up.version + 1);
    assert_restored(&restore.meta);
}

/* Nobody can move its log into it, so both are kept. */
static void damaged_file_is_kept_with_its_log(void **state)
{
    struct fault fault;
    struct data_restore restore = {.version = 0};
    struct stat before, after;
    char log[DATA_KEPT_SIZE + 8];
    (void)state;
    make_backup_and_go_on();
    assert_int_equal(stat(data_name("rosterd.db-wal"), &before), 0);
    flip(data_name("rosterd.db-wal"), 8, 0xff); /* its page size: nobody can use the log */
    flip(data_file_name, 0, 0xff);
    assert_int_equal(truncate(data_file_name, 4000), 0);
    assert_result(DATA_OK, run_restore(&restore, &fault));
    assert_false(restore.old_is_valid);
    assert_restored(&restore.meta);
    snprintf(log, sizeof(log), "%s-wal", restore.kept);
    assert_int_equal(stat(restore.kept, &after), 0);
    assert_int_equal(after.st_size, 4000);
    assert_int_equal(stat(log, &after), 0);
    assert_int_equal(after.st_ino, before.st_ino);
}

static void kept_file_can_be_restored(void **state)
{
    struct fault fault;
    struct data_meta meta;
    struct data_restore restore = {.version = 0}, back = {.version = 0};
    (void)state;
    make_backup_and_go_on();
    assert_result(DATA_OK, run_restore(&restore, &fault));
    assert_result(DATA_OK, check_backup_of(restore.kept, &meta, &fault));
    assert_int_equal(meta.version, old.version);
    snprintf(backup_name, sizeof(backup_name), "%s", restore.kept);
    assert_result(DATA_OK, run_restore(&back, &fault));
    backed_up = old;
    assert_restored(&back.meta);
}

static bool stop_behind_half(void *data, uint64_t done, uint64_t total)
{
    (void)data;
    return done < total / 2;
}

static void stopped_restore_leaves_the_old_file(void **state)
{
    struct fault fault;
    struct data_meta meta = {.store = {1}};
    struct data_restore restore = {.progress = stop_behind_half};
    (void)state;
    make_backup_and_go_on();
    snprintf(backup_name, sizeof(backup_name), "%s/large", data_folder);
    struct data_rewrite *rewrite;
    meta.version = 1;
    meta.seq = 20000;
    assert_result(DATA_OK, data_rewrite_begin(&rewrite, backup_name, &meta, &fault));
    for (uint64_t seq = 1; seq <= 20000; seq++) {
        struct data_row row = model_row(seq, 1);
        assert_result(DATA_OK, data_rewrite_put(rewrite, &row, &fault));
    }
    assert_result(DATA_OK, data_rewrite_finish(rewrite, &fault));
    assert_result(DATA_FAILED, run_restore(&restore, &fault));
    assert_non_null(strstr(fault.text, "interrupted"));
    assert_string_equal(restore.kept, "");
    assert_false(data_exists(".tmp"));
    assert_model(&old, data_file_name);
}

/* ---- death at each step ---- */

static int calls_left;
static struct data_os whole_os;

static void maybe_die(void)
{
    if (calls_left-- == 0)
        _exit(77);
}

static int dying_create(const char *path)
{
    maybe_die();
    return whole_os.create(path);
}

static int dying_rename(const char *from, const char *to)
{
    maybe_die();
    return whole_os.rename(from, to);
}

static int dying_unlink(const char *path)
{
    maybe_die();
    return whole_os.unlink(path);
}

static int dying_sync_folder(const char *path)
{
    maybe_die();
    return whole_os.sync_folder(path);
}

static int dying_link(const char *path, const char *second)
{
    maybe_die();
    return whole_os.link(path, second);
}

static bool restore_dies_at(int call)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        struct fault fault;
        struct data_restore restore = {.version = 0};
        whole_os = data_os;
        data_os = (struct data_os){dying_create, dying_rename, dying_unlink, dying_sync_folder,
                                   dying_link};
        calls_left = call;
        _exit(run_restore(&restore, &fault) == DATA_OK ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && (WEXITSTATUS(status) == 77 || WEXITSTATUS(status) == 0));
    return WEXITSTATUS(status) == 77;
}

/* As the next server does. @return whether it is the restored one */
static bool is_restored_after_open(void)
{
    struct fault fault;
    struct data_file *file;
    struct data_meta meta;
    assert_result(DATA_OK, data_file_open(&file, data_file_name, DATA_SYNC_FULL, &meta, &fault));
    data_file_close(file, true);
    if (meta.version == old.version) {
        assert_model(&old, data_file_name);
        return false;
    }
    assert_restored(&meta);
    return true;
}

static void restore_that_dies_leaves_one_of_the_files(void **state)
{
    bool was_restored = false;
    int calls = 0;
    (void)state;
    for (bool died = true; died; calls++) {
        make_backup_and_go_on();
        died = restore_dies_at(calls);
        bool is_restored = is_restored_after_open();
        assert_false(was_restored && !is_restored);
        was_restored = is_restored;
    }
    assert_true(was_restored);
    assert_true(calls > 12);
}

/* ---- failures ---- */

static int failing_link(const char *path, const char *second)
{
    (void)path;
    (void)second;
    errno = EPERM; /* a file system without links */
    return -1;
}

static int failing_rename(const char *from, const char *to)
{
    (void)from;
    (void)to;
    errno = EIO;
    return -1;
}

static void restore_that_fails_leaves_the_old_file_with_one_name(void **state)
{
    struct fault fault;
    struct stat st;
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct data_restore restore = {.version = 0};
        make_backup_and_go_on();
        whole_os = data_os;
        if (i == 0)
            data_os.link = failing_link;
        else
            data_os.rename = failing_rename;
        enum data_result result = run_restore(&restore, &fault);
        data_os = whole_os;
        assert_result(DATA_FAILED, result);
        assert_string_equal(restore.kept, "");
        assert_int_equal(stat(data_file_name, &st), 0);
        assert_int_equal(st.st_nlink, 1);
        assert_false(is_restored_after_open());
    }
}

/* ---- checking ---- */

/* A bit of a page that nobody uses, or of a counter that is not looked at, changes no user. Each
 * other one is found, and whatever passes restores the same users. */
static void each_flipped_byte_is_refused_or_harmless(void **state)
{
    struct fault fault;
    struct data_meta meta;
    struct stat st;
    unsigned refused = 0, tried = 0;
    (void)state;
    make_backup_and_go_on();
    assert_int_equal(stat(backup_name, &st), 0);
    for (off_t at = 0; at < st.st_size; at += 37, tried++) {
        flip(backup_name, at, 0x55);
        if (check_backup_of(backup_name, &meta, &fault) != DATA_OK) {
            refused++;
        } else if (meta.seq == backed_up.seq) { /* no sum covers the meta data */
            struct model expected = backed_up;
            expected.version = meta.version;
            expected.store = meta.store;
            assert_model(&expected, backup_name);
        }
        flip(backup_name, at, 0x55);
    }
    assert_result(DATA_OK, check_backup_of(backup_name, &meta, &fault));
    assert_true(refused > tried / 3);
}

/* All users are there, but the first change would take a page that is in use. */
static void damage_outside_of_the_rows_is_refused(void **state)
{
    struct fault fault;
    struct data_meta meta;
    (void)state;
    make_backup_and_go_on();
    flip(backup_name, 39, 1); /* the number of free pages */
    assert_int_equal(check_backup_of(backup_name, &meta, &fault), DATA_INVALID);
    assert_non_null(strstr(fault.text, "is damaged: "));
    assert_model(&backed_up, backup_name);
}

static void truncated_and_foreign_files_are_refused(void **state)
{
    struct fault fault;
    struct data_meta meta;
    struct stat st;
    (void)state;
    make_backup_and_go_on();
    assert_int_equal(stat(backup_name, &st), 0);
    assert_int_equal(truncate(backup_name, st.st_size - 4096), 0);
    assert_int_equal(check_backup_of(backup_name, &meta, &fault), DATA_INVALID);
    assert_non_null(strstr(fault.text, backup_name));
    assert_int_equal(truncate(backup_name, 0), 0);
    assert_int_equal(check_backup_of(backup_name, &meta, &fault), DATA_INVALID);
    assert_non_null(strstr(fault.text, "is not a data file of rosterd"));
    const char *other = data_name("other");
    run_sql(other, "CREATE TABLE t(x)");
    assert_int_equal(check_backup_of(other, &meta, &fault), DATA_INVALID);
    assert_non_null(strstr(fault.text, "is not a data file of rosterd"));
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup(test, data_folder_clear)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(restored_file_has_the_users_and_a_history_of_its_own),
        IN_FOLDER(missing_file_is_made),
        IN_FOLDER(damaged_file_is_kept_with_its_log),
        IN_FOLDER(kept_file_can_be_restored),
        IN_FOLDER(stopped_restore_leaves_the_old_file),
        IN_FOLDER(restore_that_dies_leaves_one_of_the_files),
        IN_FOLDER(restore_that_fails_leaves_the_old_file_with_one_name),
        IN_FOLDER(each_flipped_byte_is_refused_or_harmless),
        IN_FOLDER(damage_outside_of_the_rows_is_refused),
        IN_FOLDER(truncated_and_foreign_files_are_refused),
    };
    return cmocka_run_group_tests(tests, data_folder_make, data_folder_remove);
}
