/* SPDX-License-Identifier: MIT */
/*
 * A disk that fails. A workload runs again and again; each time another call fails: the n-th, or
 * the n-th and all after it, with EIO or with ENOSPC. What was acknowledged is there, nothing is
 * there by half, the result is the one that the header promises, and a file that has failed is not
 * written again.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "journal/data_writer.h"
#include "tests/journal/data_support.h"
#include "tests/journal/sham_disk.h"

/* The plan of a run, and what it met. */
static struct {
    enum disk_call call;
    int error;
    unsigned nth;
    bool later, restarts;
} run;
static unsigned met_full, met_failed;

static struct model model; /* the table in memory: all that was written, on disk or not yet */
static struct model acknowledged;
static struct data_file *file;

static void assert_run(bool condition, const char *what, const struct fault *fault)
{
    if (!condition)
        fail_msg("call %d, error %d, the %uth%s: %s: %s", run.call, run.error, run.nth,
                 run.later ? " and later" : "", what, fault->text);
}

/* A failure must be of the kind that the plan can cause. */
static void check_result(enum data_result result, const struct fault *fault)
{
    met_full += result == DATA_FULL;
    met_failed += result == DATA_FAILED;
    assert_run(result == DATA_FULL || result == DATA_FAILED, "wrong result", fault);
    assert_run(disk_failed(), "a failure without a cause", fault);
    if (run.error == EIO)
        assert_run(result == DATA_FAILED, "EIO is no full disk", fault);
    else if (run.call != DISK_SYNC && run.call != DISK_TRUNCATE && run.call != DISK_DELETE &&
             run.call != DISK_READ)
        assert_run(result == DATA_FULL, "ENOSPC is a full disk", fault);
    assert_run(strstr(fault->text, data_folder) != NULL, "the fault names no file", fault);
}

/* The file holds what was acknowledged, or that and the commit whose outcome is unknown. */
static void check_content(void)
{
    struct fault fault, other;
    disk_pause(true);
    if (data_exists(".new")) { /* the file of this name may lack its log already */
        struct data_rows *rows;
        struct data_meta meta;
        assert_result(DATA_BUSY, data_rows_open(&rows, data_file_name, &meta, &fault));
    } else if (!model_equals(&acknowledged, data_file_name, &fault) &&
               !model_equals(&model, data_file_name, &other)) {
        assert_run(false, fault.text, &other);
    }
    disk_pause(false);
}

/* The program starts on the files that are there, and stops. */
static void start_again(void)
{
    struct fault fault;
    struct data_meta meta;
    disk_mend();
    disk_forgive();
    assert_result(DATA_OK, data_file_open(&file, data_file_name, DATA_SYNC_FULL, &meta, &fault));
    check_content();
    data_file_close(file, true);
    check_content();
}

/* The file has failed: it is replaced from memory, or the program starts again and opens it. */
static void replace_file(void)
{
    struct fault fault;
    struct data_meta meta;
    data_file_close(file, true);
    check_content();
    assert_run(disk_later_writes() == 0, "a failed file was written", &(struct fault){""});
    if (run.restarts)
        start_again();
    enum data_result result = model_rewrite(&model, data_file_name, &fault);
    if (result != DATA_OK) {
        check_result(result, &fault);
        disk_mend();
        assert_result(DATA_OK, model_rewrite(&model, data_file_name, &fault));
    }
    disk_mend();
    assert_result(DATA_OK, data_file_open(&file, data_file_name, DATA_SYNC_FULL, &meta, &fault));
    acknowledged = model;
    check_content();
}

/* Tries until the table in memory is on disk. */
static void change_table(uint64_t first, uint64_t last, uint64_t deleted)
{
    struct fault fault;
    struct model before = model;
    enum data_result result = model_commit(&model, file, first, last, deleted, &fault);
    if (result != DATA_OK) {
        model = before;
        model_change(&model, first, last, deleted);
        check_result(result, &fault);
    }
    if (result == DATA_FULL) {
        check_content();
        disk_mend();
        model = before;
        result = model_commit(&model, file, first, last, deleted, &fault);
        assert_run(result == DATA_OK, "no commit after room has come", &fault);
    }
    if (result == DATA_FAILED)
        replace_file();
    acknowledged = model;
}

static void make_checkpoint(void)
{
    struct fault fault;
    file->checkpoint_from = 1;
    enum data_result result = data_file_maintain(file, &fault);
    if (result == DATA_OK)
        return;
    check_result(result, &fault);
    check_content();
    if (result == DATA_FAILED)
        replace_file();
}

static void open_again(bool checkpoint)
{
    struct fault fault;
    struct data_meta meta;
    data_file_close(file, checkpoint);
    check_content();
    assert_run(disk_later_writes() == 0, "a failed file was written", &(struct fault){""});
    disk_forgive();
    enum data_result result = data_file_open(&file, data_file_name, DATA_SYNC_FULL, &meta, &fault);
    if (result != DATA_OK) {
        check_result(result, &fault);
        disk_mend();
        disk_forgive();
        assert_result(DATA_OK,
                      data_file_open(&file, data_file_name, DATA_SYNC_FULL, &meta, &fault));
    }
    assert_int_equal(meta.version, model.version);
    check_content();
}

static void create_table(void)
{
    struct fault fault;
    const struct data_meta meta = model_meta(&model);
    enum data_result result =
        data_file_create(&file, data_file_name, DATA_SYNC_FULL, &meta, &fault);
    if (result == DATA_OK)
        return;
    check_result(result, &fault);
    disk_mend();
    disk_forgive();
    assert_result(DATA_OK, data_file_create(&file, data_file_name, DATA_SYNC_FULL, &meta, &fault));
}

static void rewrite_table(void)
{
    struct fault fault;
    struct data_meta meta;
    data_file_close(file, false);
    model_change(&model, 5, 9, 20);
    enum data_result result = model_rewrite(&model, data_file_name, &fault);
    if (result != DATA_OK) {
        check_result(result, &fault);
        check_content();
        if (run.restarts)
            start_again();
        disk_mend();
        assert_result(DATA_OK, model_rewrite(&model, data_file_name, &fault));
    }
    acknowledged = model;
    check_content();
    enum data_result opened = data_file_open(&file, data_file_name, DATA_SYNC_FULL, &meta, &fault);
    if (opened == DATA_OK)
        return;
    check_result(opened, &fault);
    disk_mend();
    disk_forgive();
    assert_result(DATA_OK, data_file_open(&file, data_file_name, DATA_SYNC_FULL, &meta, &fault));
}

/* @return whether a call has failed */
static bool run_workload(void)
{
    data_folder_clear(NULL);
    memset(&model, 0, sizeof(model));
    acknowledged = model;
    disk_forgive();
    disk_fail(run.call, run.nth, run.later, run.error);
    create_table();
    change_table(1, 3, 0);
    change_table(4, 90, 2);
    make_checkpoint();
    change_table(91, 92, 50); /* the log starts from its front */
    change_table(10, 40, 0);
    open_again(false);
    change_table(93, 97, 1);
    make_checkpoint();
    change_table(98, 98, 0);
    open_again(true);
    change_table(99, 99, 98);
    rewrite_table();
    change_table(100, 130, 7);
    bool failed = disk_failed();
    disk_mend();
    data_file_close(file, true);
    check_content();
    return failed;
}

static void run_each(enum disk_call call, int error, unsigned least)
{
    unsigned runs = 0;
    for (int mode = 0; mode < 4; mode++) {
        run.call = call;
        run.error = error;
        run.later = mode & 1;
        run.restarts = mode & 2;
        run.nth = 1;
        while (run_workload()) {
            run.nth += call == DISK_MEMORY ? 1 + run.nth / 32 : 1;
            runs++;
        }
    }
    assert_true(runs / 4 >= least);
}

static void writes_fail(void **state)
{
    (void)state;
    met_failed = 0;
    run_each(DISK_WRITE, EIO, 40);
    assert_true(met_failed > 120);
}

static void disk_is_full(void **state)
{
    (void)state;
    met_full = met_failed = 0;
    run_each(DISK_WRITE, ENOSPC, 40);
    assert_true(met_full > 120);
    assert_int_equal(met_failed, 0);
}

static void syncs_fail(void **state)
{
    (void)state;
    run_each(DISK_SYNC, EIO, 20);
}

/* A file system may notice only then that it has no room: the pages are lost as well. */
static void syncs_find_the_disk_full(void **state)
{
    (void)state;
    met_full = 0;
    run_each(DISK_SYNC, ENOSPC, 20);
    assert_int_equal(met_full, 0);
}

static void truncations_fail(void **state)
{
    (void)state;
    run_each(DISK_TRUNCATE, EIO, 2);
}

static void removals_by_sqlite_fail(void **state)
{
    (void)state;
    run_each(DISK_DELETE, EIO, 1);
}

static void reads_fail(void **state)
{
    (void)state;
    run_each(DISK_READ, EIO, 20);
}

/* Treated as a full disk: the transaction is gone as a whole, and may be tried again. */
static void memory_runs_out(void **state)
{
    (void)state;
    met_full = met_failed = 0;
    run_each(DISK_MEMORY, ENOMEM, 100);
    assert_true(met_full > 300);
    assert_int_equal(met_failed, 0);
}

static void names_cannot_be_changed(void **state)
{
    static const struct {
        enum disk_call call;
        unsigned least;
    } calls[] = {{DISK_CREATE, 2}, {DISK_RENAME, 4}, {DISK_UNLINK, 10}, {DISK_SYNC_FOLDER, 8}};
    (void)state;
    for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
        run_each(calls[i].call, EIO, calls[i].least);
        run_each(calls[i].call, ENOSPC, calls[i].least);
    }
}

static void failures_are_counted(void **state)
{
    struct fault fault;
    (void)state;
    data_folder_clear(NULL);
    disk_mend();
    file = create_file(&model);
    const struct data_counts before = *data_counts();
    assert_result(DATA_OK, model_commit(&model, file, 1, 10, 0, &fault));
    assert_int_equal(data_counts()->commits, before.commits + 1);
    assert_int_equal(data_counts()->syncs, before.syncs + 2); /* the log's head, and the commit */
    assert_true(data_counts()->bytes_written > before.bytes_written + 8192);
    assert_true(data_counts()->commit_ns > before.commit_ns);
    disk_fail(DISK_WRITE, 1, false, ENOSPC);
    assert_result(DATA_FULL, model_commit(&model, file, 1, 10, 0, &fault));
    assert_non_null(strstr(fault.text, "the disk is full"));
    assert_int_equal(data_counts()->full, before.full + 1);
    disk_fail(DISK_SYNC, 1, false, EIO);
    assert_result(DATA_FAILED, model_commit(&model, file, 1, 10, 0, &fault));
    assert_non_null(strstr(fault.text, "Input/output error"));
    assert_int_equal(data_counts()->failures, before.failures + 1);
    assert_int_equal(data_counts()->commits, before.commits + 1);
    data_file_close(file, false);
}

static int make_disk(void **state)
{
    disk_install();
    return data_folder_make(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_fail),
        cmocka_unit_test(disk_is_full),
        cmocka_unit_test(syncs_fail),
        cmocka_unit_test(syncs_find_the_disk_full),
        cmocka_unit_test(truncations_fail),
        cmocka_unit_test(removals_by_sqlite_fail),
        cmocka_unit_test(reads_fail),
        cmocka_unit_test(memory_runs_out),
        cmocka_unit_test(names_cannot_be_changed),
        cmocka_unit_test(failures_are_counted),
    };
    return cmocka_run_group_tests(tests, make_disk, data_folder_remove);
}
