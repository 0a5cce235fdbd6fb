/* SPDX-License-Identifier: MIT */
/* Data files of an older format: format 1 had no column `hidden`. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "tests/journal/data_support.h"

enum { USERS = 100 };

static struct model model;

/* Makes a file of format 1 whose users have no hidden parts. */
static void make_old_file(void)
{
    memset(&model, 0, sizeof(model));
    data_file_close(create_file(&model), true);
    struct fault fault;
    struct data_meta meta;
    struct data_file *file;
    assert_result(DATA_OK, data_file_open(&file, data_file_name, DATA_SYNC_FULL, &meta, &fault));
    assert_result(DATA_OK, data_file_begin(file, &fault));
    for (uint64_t seq = 1; seq <= USERS; seq++) {
        struct data_row row = model_row(seq, 1);
        row.hidden_len = 0;
        assert_result(DATA_OK, data_file_put(file, &row, &fault));
    }
    assert_result(DATA_OK, data_file_commit(file, 1, USERS, &fault));
    data_file_close(file, true);
    run_sql(data_file_name,
            "PRAGMA journal_mode=DELETE; ALTER TABLE users DROP COLUMN hidden;"
            "ALTER TABLE meta DROP COLUMN feed; ALTER TABLE meta DROP COLUMN deletes;"
            "ALTER TABLE meta DROP COLUMN requests; DROP TABLE deleted; DROP TABLE requests;"
            "UPDATE meta SET format = 1; PRAGMA user_version = 1");
}

/* Reads all rows; those of user `put` have their hidden part, and all others have none. */
static void assert_rows(uint64_t put, uint64_t version)
{
    struct fault fault;
    struct data_meta meta;
    struct data_rows *rows;
    struct data_row row;
    uint64_t seq = 0;
    assert_result(DATA_OK, data_rows_open(&rows, data_file_name, &meta, &fault));
    while (seq < USERS) {
        assert_result(DATA_OK, data_rows_next(rows, &row, &fault));
        seq++;
        struct data_row wanted = model_row(seq, seq == put ? version : 1);
        assert_int_equal(row.seq, seq);
        assert_int_equal(row.body_len, wanted.body_len);
        assert_int_equal(row.hidden_len, seq == put ? wanted.hidden_len : 0);
        if (row.hidden_len != 0)
            assert_memory_equal(row.hidden, wanted.hidden, row.hidden_len);
    }
    assert_result(DATA_NONE, data_rows_next(rows, &row, &fault));
    data_rows_close(rows);
}

static void older_format_is_read_as_it_is(void **state)
{
    (void)state;
    make_old_file();
    assert_rows(0, 0);
    assert_int_equal(ask_sql(data_file_name, "PRAGMA user_version"), 1);
    assert_int_equal(ask_sql(data_file_name, "SELECT format FROM meta"), 1);
}

/* A transaction that is rolled back leaves the old format. */
static void older_format_is_raised_by_the_first_commit(void **state)
{
    struct fault fault;
    struct data_meta meta;
    struct data_file *file;
    (void)state;
    make_old_file();
    assert_result(DATA_OK, data_file_open(&file, data_file_name, DATA_SYNC_FULL, &meta, &fault));
    assert_int_equal(meta.format, 1);
    assert_int_equal(meta.count, USERS);
    assert_rows(0, 0);
    struct data_row row = model_row(5, 2);
    const struct data_deleted deleted = {.seq = 3, .version = 2};
    const struct data_request request = {.version = 2};
    assert_true(row.hidden_len > 0);
    for (int i = 0; i < 2; i++) {
        assert_result(DATA_OK, data_file_begin(file, &fault));
        assert_result(DATA_OK, data_file_put(file, &row, &fault));
        data_file_rollback(file);
        assert_int_equal(ask_sql(data_file_name, "PRAGMA user_version"), 1);
    }
    assert_result(DATA_OK, data_file_begin(file, &fault));
    assert_result(DATA_OK, data_file_put(file, &row, &fault));
    assert_result(DATA_OK, data_file_note_deleted(file, &deleted, &fault));
    assert_result(DATA_OK, data_file_note_request(file, &request, &fault));
    assert_result(DATA_OK, data_file_commit(file, 2, USERS, &fault));
    data_file_close(file, true);
    assert_int_equal(ask_sql(data_file_name, "PRAGMA user_version"), 2);
    assert_int_equal(ask_sql(data_file_name, "SELECT format FROM meta"), 2);
    /* of its commits before nobody knows the deletes */
    assert_int_equal(ask_sql(data_file_name, "SELECT feed FROM meta"), 1);
    assert_int_equal(ask_sql(data_file_name, "SELECT count(*) FROM deleted"), 1);
    assert_int_equal(ask_sql(data_file_name, "SELECT count(*) FROM requests"), 1);
    assert_rows(5, 2);
    assert_result(DATA_OK, data_file_open(&file, data_file_name, DATA_SYNC_FULL, &meta, &fault));
    data_file_close(file, true);
    assert_rows(5, 2);
}

/* Both parts are in the sum, and so is where the second one begins. */
static void byte_that_changes_its_part_is_noticed(void **state)
{
    struct fault fault;
    struct data_meta meta;
    struct data_rows *rows;
    struct data_row row;
    enum data_result result;
    (void)state;
    memset(&model, 0, sizeof(model));
    struct data_file *file = create_file(&model);
    assert_result(DATA_OK, model_commit(&model, file, 1, 10, 0, &fault));
    data_file_close(file, true);
    run_sql(data_file_name,
            "UPDATE users SET hidden = CAST(substr(body, -1) || hidden AS BLOB),"
            " body = CAST(substr(body, 1, length(body) - 1) AS BLOB) WHERE seq = 5");
    assert_result(DATA_OK, data_rows_open(&rows, data_file_name, &meta, &fault));
    while ((result = data_rows_next(rows, &row, &fault)) == DATA_OK)
        ;
    assert_result(DATA_INVALID, result);
    assert_non_null(strstr(fault.text, "the user with seq 5 is damaged: its sum is wrong"));
    data_rows_close(rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(older_format_is_read_as_it_is, data_folder_clear),
        cmocka_unit_test_setup(older_format_is_raised_by_the_first_commit, data_folder_clear),
        cmocka_unit_test_setup(byte_that_changes_its_part_is_noticed, data_folder_clear),
    };
    return cmocka_run_group_tests(tests, data_folder_make, data_folder_remove);
}
