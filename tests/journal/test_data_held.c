/* SPDX-License-Identifier: MIT */
/* The writes of a commit to the log are one write, and nobody misses them meanwhile. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "journal/data_held.h"
#include "journal/data_writer.h"
#include "tests/journal/data_support.h"
#include "tests/journal/sham_disk.h"

static struct model model;

/* @return how many writes a commit makes that puts the users 1 to `last` */
static unsigned writes_of_commit(struct data_file *file, uint64_t last)
{
    struct fault fault;
    for (unsigned n = 1;; n++) {
        struct model before = model;
        disk_fail(DISK_WRITE, n, false, ENOSPC); /* so that the same can be done again */
        enum data_result result = model_commit(&model, file, 1, last, 0, &fault);
        bool failed = disk_failed();
        disk_mend();
        if (!failed) {
            assert_result(DATA_OK, result);
            return n - 1;
        }
        assert_result(DATA_FULL, result);
        model = before;
        assert_model(&model, data_file_name);
    }
}

static void bytes_that_follow_each_other_are_held(void **state)
{
    struct data_held held = {0};
    uint8_t many[4096] = {0};
    (void)state;
    assert_true(data_held_take(&held, "abc", 3, 100));
    assert_true(data_held_take(&held, "de", 2, 103));
    assert_false(data_held_take(&held, "f", 1, 106)); /* a gap */
    assert_false(data_held_take(&held, "f", 1, 104)); /* over what is held */
    assert_int_equal(held.len, 5);
    assert_int_equal(held.offset, 100);
    assert_memory_equal(held.bytes, "abcde", 5);
    held.len = 0;
    assert_true(data_held_take(&held, "xyz", 3, 7)); /* anew, from anywhere */
    assert_int_equal(held.offset, 7);
    while (held.len <= DATA_HELD_MAX - (int)sizeof(many))
        assert_true(data_held_take(&held, many, sizeof(many), held.offset + held.len));
    assert_false(data_held_take(&held, many, sizeof(many), held.offset + held.len));
    assert_memory_equal(held.bytes, "xyz", 3);
    data_held_drop(&held);
    assert_null(held.bytes);
    assert_int_equal(held.len, 0);
}

/* Without it, each page would be two. */
static void commit_is_one_write(void **state)
{
    struct fault fault;
    (void)state;
    struct data_file *file = create_file(&model);
    assert_result(DATA_OK, model_commit(&model, file, 1, 10, 0, &fault)); /* begins the log */
    assert_int_equal(writes_of_commit(file, 10), 1);
    assert_int_equal(writes_of_commit(file, 200), 1);
    assert_model(&model, data_file_name);
    data_file_close(file, true);
    assert_model(&model, data_file_name);
}

static void large_commit_is_a_few_writes(void **state)
{
    (void)state;
    struct fault fault;
    struct data_file *file = create_file(&model);
    /* The log is long enough, and begins from its front. */
    for (int i = 0; i < 5; i++)
        assert_result(DATA_OK, model_commit(&model, file, 1, 4000, 0, &fault));
    assert_int_equal(
        sqlite3_wal_checkpoint_v2(file->db, "main", SQLITE_CHECKPOINT_RESTART, NULL, NULL),
        SQLITE_OK);
    assert_in_range(writes_of_commit(file, 4000), 3, 12);
    assert_model(&model, data_file_name);
    data_file_close(file, true);
    assert_model(&model, data_file_name);
}

/* A transaction whose pages have no room in SQLite's memory has some in the log, and reads them
 * from there, also while they are held: this one comes back to its first pages. */
static void pages_are_read_back_in_a_transaction(void **state)
{
    struct fault fault;
    (void)state;
    struct data_file *file = create_file(&model);
    assert_result(DATA_OK, model_commit(&model, file, 1, 1000, 0, &fault));
    data_file_close(file, true);
    file = open_file();
    assert_int_equal(sqlite3_exec(file->db, "PRAGMA cache_size=10", NULL, NULL, NULL), SQLITE_OK);
    for (unsigned i = 0; i < 5; i++) {
        assert_result(DATA_OK, data_file_begin(file, &fault));
        for (unsigned n = 0; n < 2 * 1000; n++) {
            struct data_row row = model_row(1 + n % 1000, model.version + 1);
            assert_result(DATA_OK, data_file_put(file, &row, &fault));
        }
        assert_result(DATA_OK, data_file_commit(file, model.version + 1, model.seq, &fault));
        model_change(&model, 1, 1000, 0);
        model.num_requests = 0;
        assert_model(&model, data_file_name);
    }
    data_file_close(file, true);
    assert_model(&model, data_file_name);
}

/* Without syncs nothing is held: others see a commit when it is made. */
static void commit_without_a_sync_is_seen_at_once(void **state)
{
    struct fault fault;
    struct data_meta meta;
    (void)state;
    data_file_close(create_file(&model), true);
    struct data_file *file;
    assert_result(DATA_OK, data_file_open(&file, data_file_name, DATA_SYNC_OFF, &meta, &fault));
    for (uint64_t last = 10; last < 200; last += 30) {
        assert_result(DATA_OK, model_commit(&model, file, 1, last, 0, &fault));
        assert_model(&model, data_file_name);
    }
    data_file_close(file, true);
}

/* What an error has kept from the log does not come later. */
static void held_bytes_of_a_failed_commit_are_gone(void **state)
{
    struct fault fault;
    (void)state;
    struct data_file *file = create_file(&model);
    assert_result(DATA_OK, model_commit(&model, file, 1, 10, 0, &fault));
    struct model before = model;
    disk_fail(DISK_WRITE, 1, true, EIO);
    assert_result(DATA_FAILED, model_commit(&model, file, 1, 100, 0, &fault));
    disk_mend();
    disk_forgive();
    data_file_close(file, true);
    assert_model(&before, data_file_name);
    file = open_file();
    data_file_close(file, true);
    assert_model(&before, data_file_name);
}

/* As soon as a transaction has ended, others may write to the log: Litestream does. */
static void held_bytes_of_a_rollback_do_not_come_over_the_writes_of_others(void **state)
{
    struct fault fault;
    char sql[64];
    (void)state;
    struct data_file *file = create_file(&model);
    assert_result(DATA_OK, model_commit(&model, file, 1, 2000, 0, &fault));
    assert_int_equal(sqlite3_exec(file->db, "PRAGMA cache_size=10", NULL, NULL, NULL), SQLITE_OK);
    for (uint64_t last = 100; last <= 2000; last += 100) { /* some have a few pages in the log */
        run_sql(data_file_name, "PRAGMA wal_checkpoint"); /* so that no page is read from the log */
        assert_result(DATA_OK, data_file_begin(file, &fault));
        for (uint64_t seq = 1; seq <= last; seq++) {
            struct data_row row = model_row(seq, model.version + 1);
            assert_result(DATA_OK, data_file_put(file, &row, &fault));
        }
        data_file_rollback(file);
        snprintf(sql, sizeof(sql), "CREATE TABLE other%u(x)", (unsigned)last);
        run_sql(data_file_name, sql);
        assert_result(DATA_OK, model_commit(&model, file, 1, 10, 0, &fault));
        assert_model(&model, data_file_name);
    }
    assert_int_equal(ask_sql(data_file_name, "SELECT count(*) FROM pragma_integrity_check"
                                             " WHERE integrity_check = 'ok'"),
                     1);
    data_file_close(file, true);
    assert_model(&model, data_file_name);
}

static int make_disk(void **state)
{
    disk_install();
    return data_folder_make(state);
}

static int clear(void **state)
{
    disk_mend();
    model = (struct model){0};
    return data_folder_clear(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_that_follow_each_other_are_held),
        cmocka_unit_test_setup(commit_is_one_write, clear),
        cmocka_unit_test_setup(large_commit_is_a_few_writes, clear),
        cmocka_unit_test_setup(pages_are_read_back_in_a_transaction, clear),
        cmocka_unit_test_setup(commit_without_a_sync_is_seen_at_once, clear),
        cmocka_unit_test_setup(held_bytes_of_a_failed_commit_are_gone, clear),
        cmocka_unit_test_setup(held_bytes_of_a_rollback_do_not_come_over_the_writes_of_others,
                               clear),
    };
    return cmocka_run_group_tests(tests, make_disk, data_folder_remove);
}
