/* SPDX-License-Identifier: MIT */
/* Files that are not used, or not to their end: each is named, and stays as it is. */
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
#include <sqlite3.h>

#include "tests/journal/data_support.h"

static struct model model;

struct bytes {
    uint8_t *data;
    size_t len;
};

static struct bytes read_bytes(const char *path)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(fstat(fd, &st), 0);
    struct bytes bytes = {malloc((size_t)st.st_size + 1), (size_t)st.st_size};
    assert_non_null(bytes.data);
    assert_int_equal(read(fd, bytes.data, bytes.len), bytes.len);
    close(fd);
    return bytes;
}

static void write_bytes(const char *path, const void *data, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, data, len), len);
    close(fd);
}

static void assert_words(const struct fault *fault, const char *words)
{
    if (strstr(fault->text, words) == NULL || strstr(fault->text, data_file_name) == NULL)
        fail_msg("\"%s\" or the name is not in: %s", words, fault->text);
}

/* Both ways to open it give `wanted` and a fault with these words. The file's bytes stay. */
static void assert_refused(enum data_result wanted, const char *words)
{
    struct fault fault;
    struct data_file *file;
    struct data_rows *rows;
    struct data_meta meta;
    struct bytes before = read_bytes(data_file_name);
    assert_result(wanted, data_file_open(&file, data_file_name, DATA_SYNC_FULL, &meta, &fault));
    assert_null(file);
    assert_words(&fault, words);
    assert_result(wanted, data_rows_open(&rows, data_file_name, &meta, &fault));
    assert_null(rows);
    assert_words(&fault, words);
    struct bytes after = read_bytes(data_file_name);
    assert_int_equal(before.len, after.len);
    assert_memory_equal(before.data, after.data, before.len);
    free(before.data);
    free(after.data);
}

/* Reads to the end, or to the first error. */
static enum data_result read_rows(struct fault *fault)
{
    struct data_rows *rows;
    struct data_row row;
    struct data_meta meta;
    enum data_result result = data_rows_open(&rows, data_file_name, &meta, fault);
    if (result != DATA_OK)
        return result;
    while ((result = data_rows_next(rows, &row, fault)) == DATA_OK)
        ;
    if (result == DATA_NONE) {
        const struct data_history_reader nobody = {.data = NULL};
        enum data_result past = data_rows_history(rows, &nobody, fault);
        result = past == DATA_OK ? DATA_NONE : past;
    }
    data_rows_close(rows);
    return result;
}

/* A closed file with users 1 to `last`. */
static void make_file(uint64_t last)
{
    struct fault fault;
    struct data_file *file = create_file(&model);
    assert_result(DATA_OK, model_commit(&model, file, 1, last, 0, &fault));
    data_file_close(file, true);
}

static void missing_file_is_none(void **state)
{
    struct fault fault;
    struct data_file *file;
    struct data_rows *rows;
    struct data_meta meta = model_meta(&model);
    const char *below = data_name("missing/rosterd.db"), *copy = data_name("copy");
    (void)state;
    assert_result(DATA_NONE, data_file_open(&file, data_file_name, DATA_SYNC_FULL, &meta, &fault));
    assert_words(&fault, "No such file");
    assert_result(DATA_NONE, data_rows_open(&rows, data_file_name, &meta, &fault));
    assert_result(DATA_NONE, make_backup(copy, NULL, NULL, &meta, &fault));
    assert_int_not_equal(access(copy, F_OK), 0);
    assert_result(DATA_NONE, data_file_open(&file, below, DATA_SYNC_FULL, &meta, &fault));
    assert_result(DATA_NONE, data_file_create(&file, below, DATA_SYNC_FULL, &meta, &fault));
    assert_non_null(strstr(fault.text, below));
    assert_result(DATA_NONE, data_rows_open(&rows, below, &meta, &fault));
}

static void other_files_are_not_ours(void **state)
{
    static const char noise[8192] = "This is a letter to a friend, and not a table of users.";
    struct fault fault;
    struct data_file *file;
    struct data_meta meta;
    (void)state;
    write_bytes(data_file_name, noise, sizeof(noise));
    assert_refused(DATA_INVALID, "file is not a database");
    write_bytes(data_file_name, noise, 0);
    assert_refused(DATA_INVALID, "is not a data file of rosterd");
    data_folder_clear(NULL);
    run_sql(data_file_name, "CREATE TABLE users(a); INSERT INTO users VALUES(1)");
    assert_refused(DATA_INVALID, "is not a data file of rosterd");
    run_sql(data_file_name, "PRAGMA application_id=0x726f7374");
    assert_refused(DATA_INVALID, "has format 0");
    run_sql(data_file_name, "PRAGMA user_version=1");
    assert_refused(DATA_INVALID, "no such table: meta");
    run_sql(data_file_name, "CREATE TABLE meta(store, version, count, seq, format)");
    assert_refused(DATA_INVALID, "has no meta data");
    assert_result(DATA_INVALID, data_file_open(&file, data_folder, DATA_SYNC_FULL, &meta, &fault));
    assert_non_null(strstr(fault.text, "is not a regular file"));
    unlink(data_file_name);
    assert_int_equal(mkfifo(data_file_name, 0600), 0); /* opening it would block */
    assert_result(DATA_INVALID,
                  data_file_open(&file, data_file_name, DATA_SYNC_FULL, &meta, &fault));
    assert_words(&fault, "is not a regular file");
}

/* The log of another program's database is not moved into it. */
static void log_of_another_program_stays(void **state)
{
    int status;
    (void)state;
    pid_t pid = fork();
    if (pid == 0) { /* leaves its log behind */
        sqlite3 *db;
        sqlite3_open(data_file_name, &db);
        sqlite3_exec(db, "PRAGMA journal_mode=WAL; CREATE TABLE a(b)", NULL, NULL, NULL);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(data_exists("-wal"));
    assert_refused(DATA_INVALID, "is not a data file of rosterd");
    assert_true(data_exists("-wal"));
}

static void newer_format_is_refused(void **state)
{
    (void)state;
    make_file(10);
    run_sql(data_file_name, "PRAGMA user_version=3; PRAGMA wal_checkpoint(TRUNCATE)");
    assert_refused(DATA_INVALID, "has format 3, and this rosterd knows format 2; use the newer");
    run_sql(data_file_name, "PRAGMA user_version=2; UPDATE meta SET format=3");
    assert_refused(DATA_INVALID, "name another format");
    run_sql(data_file_name, "UPDATE meta SET format=2");
    assert_model(&model, data_file_name);
}

static void damaged_meta_data_are_refused(void **state)
{
    (void)state;
    make_file(10);
    run_sql(data_file_name, "UPDATE meta SET store=x'0102'");
    assert_refused(DATA_INVALID, "the store's id");
    run_sql(data_file_name, "UPDATE meta SET store=zeroblob(16), version=-1");
    assert_refused(DATA_INVALID, "the numbers in its meta data");
    run_sql(data_file_name, "UPDATE meta SET version='one'");
    assert_refused(DATA_INVALID, "the numbers in its meta data");
    run_sql(data_file_name, "UPDATE meta SET version=1; INSERT INTO meta SELECT * FROM meta");
    assert_refused(DATA_INVALID, "more than one row");
    run_sql(data_file_name, "DROP TABLE users; DELETE FROM meta WHERE rowid > 1");
    assert_refused(DATA_INVALID, "no such table: users");
}

static void assert_rows_invalid(const char *words)
{
    struct fault fault;
    assert_result(DATA_INVALID, read_rows(&fault));
    assert_words(&fault, words);
}

static void rows_that_somebody_changed_are_named(void **state)
{
    (void)state;
    make_file(10);
    run_sql(data_file_name, "DELETE FROM users WHERE seq = 4");
    assert_rows_invalid("has 9 users, and its meta data say 10");
    run_sql(data_file_name, "UPDATE users SET body = x'00' WHERE seq = 7");
    assert_rows_invalid("the user with seq 7 is damaged: its sum is wrong");
    run_sql(data_file_name, "UPDATE users SET id = x'00' WHERE seq = 6");
    assert_rows_invalid("the user with seq 6 is damaged: its id has the wrong length");
    run_sql(data_file_name, "UPDATE users SET body = 'text' WHERE seq = 5");
    assert_rows_invalid("the user with seq 5 is damaged: a value has the wrong type");
    make_file(10);
    run_sql(data_file_name, "UPDATE meta SET version = 0");
    assert_rows_invalid("the user with seq 1 is damaged: it is newer than the meta data");
    run_sql(data_file_name, "UPDATE meta SET version = 1, seq = 8");
    assert_rows_invalid("the user with seq 9 is damaged: it is newer than the meta data");
}

static struct bytes whole;

/* Where the bytes of `what` begin in the file, or where they end. */
static size_t find_bytes(const void *what, size_t len, bool end)
{
    const uint8_t *found = memmem(whole.data, whole.len, what, len);
    assert_non_null(found);
    return (size_t)(found - whole.data) + (end ? len : 0);
}

static void write_flipped(size_t at, unsigned bit)
{
    uint8_t byte = whole.data[at] ^ (uint8_t)(1 << bit);
    int fd = open(data_file_name, O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
    close(fd);
}

static void write_back(size_t at)
{
    int fd = open(data_file_name, O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, whole.data + at, 1, (off_t)at), 1);
    close(fd);
}

/* A row lies in the file as: length, seq, types, id, version, sum, body, hidden. */
static void each_flipped_bit_of_a_row_is_noticed(void **state)
{
    struct fault fault;
    (void)state;
    make_file(10);
    whole = read_bytes(data_file_name);
    struct data_row row = model_row(5, 1);
    size_t id = find_bytes(row.id, DATA_ID_SIZE, false);
    size_t end = find_bytes(row.hidden, row.hidden_len, true);
    assert_true(end > id && end - id < 200);
    for (size_t at = id - 8; at < end; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            write_flipped(at, bit);
            enum data_result result = read_rows(&fault);
            /* The type of seq does not matter: its value is the row's key. */
            if (result == DATA_NONE && at < id && model_equals(&model, data_file_name, &fault))
                continue;
            assert_result(DATA_INVALID, result);
            if (at >= id && strstr(fault.text, "the user with seq 5 is damaged") == NULL)
                fail_msg("byte %zu, bit %u: %s", at - id, bit, fault.text);
        }
        write_back(at);
    }
    assert_model(&model, data_file_name);
    free(whole.data);
}

/* In all of the file but the row of meta data, which has no sum. Unused bytes do not matter. */
static void flipped_bits_anywhere_are_noticed_or_harmless(void **state)
{
    struct fault fault;
    unsigned noticed = 0, harmless = 0, bit = 0;
    (void)state;
    make_file(100); /* one of them in pages of its own */
    whole = read_bytes(data_file_name);
    size_t meta = find_bytes("store-of-a-test.", DATA_ID_SIZE, false);
    for (size_t at = 0; at < whole.len; at += at < 120 ? 1 : 13) {
        if (at >= meta && at < meta + 32)
            continue;
        bit = (bit * 5 + 3) % 8;
        write_flipped(at, bit);
        enum data_result result = read_rows(&fault);
        if (result == DATA_INVALID) {
            noticed++;
        } else if (result == DATA_NONE && model_equals(&model, data_file_name, &fault)) {
            harmless++;
        } else {
            fail_msg("byte %zu, bit %u: result %d, %s", at, bit, result, fault.text);
        }
        write_back(at);
    }
    assert_model(&model, data_file_name);
    assert_true(noticed > 1000 && harmless > 100);
    free(whole.data);
}

static void truncated_file_is_refused(void **state)
{
    struct fault fault;
    struct data_file *file;
    struct data_meta meta;
    (void)state;
    make_file(200);
    whole = read_bytes(data_file_name);
    for (size_t len = 0; len < whole.len; len += 512) {
        write_bytes(data_file_name, whole.data, len);
        assert_result(DATA_INVALID, read_rows(&fault));
        assert_words(&fault, "");
        if (data_file_open(&file, data_file_name, DATA_SYNC_FULL, &meta, &fault) == DATA_OK)
            data_file_close(file, true); /* it reads no more than it must */
    }
    free(whole.data);
}

/* A page that a write meets is damaged. */
static void file_that_turns_out_damaged_takes_no_more(void **state)
{
    struct fault fault;
    struct data_meta meta;
    (void)state;
    make_file(2000);
    whole = read_bytes(data_file_name);
    struct data_row row = model_row(1000, 1);
    size_t at = find_bytes(row.id, DATA_ID_SIZE, false) / 4096 * 4096;
    memset(whole.data + at, 0xff, 64);
    write_bytes(data_file_name, whole.data, whole.len);
    struct data_file *file = open_file();
    assert_result(DATA_OK, data_file_begin(file, &fault));
    assert_result(DATA_INVALID, data_file_put(file, &row, &fault));
    assert_words(&fault, "malformed");
    assert_result(DATA_FAILED, data_file_begin(file, &fault));
    data_file_close(file, true);
    struct bytes after = read_bytes(data_file_name);
    assert_int_equal(after.len, whole.len);
    assert_memory_equal(after.data, whole.data, whole.len);
    assert_result(DATA_INVALID, make_backup(data_name("copy"), NULL, NULL, &meta, &fault));
    assert_int_not_equal(access(data_name("copy"), F_OK), 0);
    free(after.data);
    free(whole.data);
}

static void backup_of_wrong_rows_is_refused(void **state)
{
    struct fault fault;
    struct data_meta meta;
    (void)state;
    make_file(10);
    run_sql(data_file_name, "UPDATE users SET body = x'00' WHERE seq = 7");
    assert_result(DATA_INVALID, make_backup(data_name("copy"), NULL, NULL, &meta, &fault));
    assert_non_null(strstr(fault.text, "the user with seq 7 is damaged"));
    assert_int_not_equal(access(data_name("copy"), F_OK), 0);
}

/* As a user who may not. @return the result, from a process of its own */
static int open_as_nobody(const char *words)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        struct fault fault;
        struct data_file *file;
        struct data_meta meta;
        if (geteuid() == 0 && setresuid(65534, 65534, 65534) != 0)
            _exit(99);
        int result = (int)data_file_open(&file, data_file_name, DATA_SYNC_FULL, &meta, &fault);
        if (result != DATA_OK && strstr(fault.text, words) == NULL) {
            print_error("%s\n", fault.text);
            _exit(98);
        }
        _exit(result);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 97;
}

static void file_without_permission_is_named(void **state)
{
    struct stat st;
    (void)state;
    make_file(10);
    assert_int_equal(stat(data_file_name, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    chmod(data_folder, 0777);
    chmod(data_file_name, 0);
    assert_int_equal(open_as_nobody("unable to open database file: Permission denied"),
                     DATA_FAILED);
    chmod(data_file_name, 0444);
    assert_int_equal(open_as_nobody("no permission to write it"), DATA_FAILED);
    chmod(data_folder, 0);
    if (geteuid() == 0) /* otherwise the child owns the directory, and the parent loses it */
        assert_int_equal(open_as_nobody("Permission denied"), DATA_FAILED);
    chmod(data_folder, 0700);
    chmod(data_file_name, 0600);
    assert_model(&model, data_file_name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(missing_file_is_none, data_folder_clear),
        cmocka_unit_test_setup(other_files_are_not_ours, data_folder_clear),
        cmocka_unit_test_setup(log_of_another_program_stays, data_folder_clear),
        cmocka_unit_test_setup(newer_format_is_refused, data_folder_clear),
        cmocka_unit_test_setup(damaged_meta_data_are_refused, data_folder_clear),
        cmocka_unit_test_setup(rows_that_somebody_changed_are_named, data_folder_clear),
        cmocka_unit_test_setup(each_flipped_bit_of_a_row_is_noticed, data_folder_clear),
        cmocka_unit_test_setup(flipped_bits_anywhere_are_noticed_or_harmless, data_folder_clear),
        cmocka_unit_test_setup(truncated_file_is_refused, data_folder_clear),
        cmocka_unit_test_setup(file_that_turns_out_damaged_takes_no_more, data_folder_clear),
        cmocka_unit_test_setup(backup_of_wrong_rows_is_refused, data_folder_clear),
        cmocka_unit_test_setup(file_without_permission_is_named, data_folder_clear),
    };
    return cmocka_run_group_tests(tests, data_folder_make, data_folder_remove);
}
