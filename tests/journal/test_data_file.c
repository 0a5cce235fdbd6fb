/* SPDX-License-Identifier: MIT */
/* What is written into a data file comes back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/journal/data_support.h"

static struct model model;

static void new_file_has_its_meta_data_and_no_users(void **state)
{
    struct fault fault;
    struct data_file *file;
    struct data_meta meta = {.store = {1, 2, 3}, .version = 7, .count = 9, .seq = 12}, found;
    struct data_row row;
    (void)state;
    assert_result(DATA_OK, data_file_create(&file, data_file_name, DATA_SYNC_FULL, &meta, &fault));
    data_file_close(file, true);
    assert_result(DATA_OK, data_file_open(&file, data_file_name, DATA_SYNC_FULL, &found, &fault));
    assert_memory_equal(found.store, meta.store, DATA_ID_SIZE);
    assert_int_equal(found.version, 7);
    assert_int_equal(found.count, 0);
    assert_int_equal(found.seq, 12);
    data_file_close(file, true);
    struct data_rows *rows;
    assert_result(DATA_OK, data_rows_open(&rows, data_file_name, &found, &fault));
    assert_result(DATA_NONE, data_rows_next(rows, &row, &fault));
    data_rows_close(rows);
}

static void users_come_back_as_they_were_put(void **state)
{
    struct fault fault;
    (void)state;
    struct data_file *file = create_file(&model);
    assert_result(DATA_OK, model_commit(&model, file, 1, 300, 0, &fault)); /* inserted */
    assert_int_equal(data_file_count(file), 300);
    assert_model(&model, data_file_name);                                    /* beside the writer */
    assert_result(DATA_OK, model_commit(&model, file, 100, 120, 7, &fault)); /* replaced */
    assert_int_equal(data_file_count(file), 299);
    assert_result(DATA_OK, model_commit(&model, file, 5, 9, 0, &fault)); /* 7 is there again */
    assert_int_equal(data_file_count(file), 300);
    assert_result(DATA_OK, model_commit(&model, file, 400, 401, 399, &fault)); /* none deleted */
    assert_int_equal(data_file_count(file), 302);
    assert_model(&model, data_file_name);
    data_file_close(file, true);
    assert_false(data_exists("-wal"));
    assert_model(&model, data_file_name);
    file = open_file();
    assert_int_equal(data_file_count(file), 302);
    data_file_close(file, false);
    assert_model(&model, data_file_name);
}

static void rollback_leaves_nothing(void **state)
{
    struct fault fault;
    (void)state;
    struct data_file *file = create_file(&model);
    assert_result(DATA_OK, model_commit(&model, file, 1, 10, 0, &fault));
    assert_result(DATA_OK, data_file_begin(file, &fault));
    struct data_row row = model_row(11, 2);
    assert_result(DATA_OK, data_file_put(file, &row, &fault));
    assert_result(DATA_OK, data_file_delete(file, 3, &fault));
    data_file_rollback(file);
    data_file_rollback(file);
    assert_int_equal(data_file_count(file), 10);
    assert_result(DATA_OK, model_commit(&model, file, 11, 12, 0, &fault));
    assert_result(DATA_OK, data_file_begin(file, &fault));
    assert_result(DATA_OK, data_file_delete(file, 3, &fault));
    data_file_close(file, true); /* with a transaction open */
    assert_model(&model, data_file_name);
}

static void rewrite_replaces_the_file(void **state)
{
    struct fault fault;
    (void)state;
    struct data_file *file = create_file(&model);
    assert_result(DATA_OK, model_commit(&model, file, 1, 10, 0, &fault));
    data_file_close(file, false); /* the log holds what the file lacks */
    assert_true(data_exists("-wal"));
    model_change(&model, 3, 30, 2);
    assert_result(DATA_OK, model_rewrite(&model, data_file_name, &fault));
    assert_false(data_exists("-wal"));
    assert_model(&model, data_file_name);
    file = open_file();
    assert_int_equal(data_file_count(file), 29);
    assert_result(DATA_OK, model_commit(&model, file, 31, 33, 1, &fault));
    data_file_close(file, true);
    assert_model(&model, data_file_name);
}

static void abandoned_rewrite_leaves_the_file(void **state)
{
    struct fault fault;
    struct data_rewrite *rewrite;
    (void)state;
    struct data_file *file = create_file(&model);
    assert_result(DATA_OK, model_commit(&model, file, 1, 10, 0, &fault));
    data_file_close(file, true);
    const struct data_meta meta = model_meta(&model);
    assert_result(DATA_OK, data_rewrite_begin(&rewrite, data_file_name, &meta, &fault));
    assert_true(data_exists(".tmp"));
    data_rewrite_abandon(rewrite);
    assert_false(data_exists(".tmp"));
    assert_model(&model, data_file_name);
}

static uint64_t last_done, last_total;
static void note_progress(void *data, uint64_t done, uint64_t total)
{
    assert_ptr_equal(data, &model);
    last_done = done;
    last_total = total;
}

static void backup_is_a_file_of_its_own(void **state)
{
    struct fault fault;
    struct data_meta meta;
    (void)state;
    struct data_file *file = create_file(&model);
    assert_result(DATA_OK, model_commit(&model, file, 1, 1000, 0, &fault));
    const char *copy = data_name("copy.db");
    assert_result(DATA_OK, data_backup(data_file_name, copy, note_progress, &model, &meta, &fault));
    assert_true(last_total > 20);
    assert_int_equal(last_done, last_total);
    assert_int_equal(meta.count, 1000);
    assert_int_equal(meta.version, 1);
    assert_model(&model, copy);
    assert_int_not_equal(access(data_name("copy.db-wal"), F_OK), 0);
    assert_result(DATA_FAILED, data_backup(data_file_name, copy, NULL, NULL, &meta, &fault));
    assert_non_null(strstr(fault.text, "File exists"));
    assert_model(&model, copy);
    data_file_close(file, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(new_file_has_its_meta_data_and_no_users, data_folder_clear),
        cmocka_unit_test_setup(users_come_back_as_they_were_put, data_folder_clear),
        cmocka_unit_test_setup(rollback_leaves_nothing, data_folder_clear),
        cmocka_unit_test_setup(rewrite_replaces_the_file, data_folder_clear),
        cmocka_unit_test_setup(abandoned_rewrite_leaves_the_file, data_folder_clear),
        cmocka_unit_test_setup(backup_is_a_file_of_its_own, data_folder_clear),
    };
    return cmocka_run_group_tests(tests, data_folder_make, data_folder_remove);
}
