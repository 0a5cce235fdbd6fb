/* SPDX-License-Identifier: MIT */
/*
 * Power cuts. A workload is recorded; for each prefix of the record the files are rebuilt as a
 * power cut may leave them, and opened. What was acknowledged is there, and nothing is there by
 * half.
 */
#include <dirent.h>
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
#include <unistd.h>

#include <cmocka.h>

#include "journal/data_writer.h"
#include "tests/journal/data_support.h"
#include "tests/journal/disk_record.h"
#include "tests/journal/sham_disk.h"

enum { VERSIONS_MAX = 64, CUTS_EACH = 6, CUTS_OF_NAMES = 30 };

static struct model model, history[VERSIONS_MAX]; /* the table as of each version */
static char cut_folder[96];

/* When a version counts as acknowledged. */
enum acknowledgement { AT_COMMIT, AT_SYNC };

static enum data_sync sync_mode;
static enum acknowledgement acknowledgement;

static void change(struct data_file *file, uint64_t first, uint64_t last, uint64_t deleted)
{
    struct fault fault;
    assert_result(DATA_OK, model_commit(&model, file, first, last, deleted, &fault));
    assert_true(model.version < VERSIONS_MAX);
    history[model.version] = model;
    if (acknowledgement == AT_SYNC && model.version % 3 != 0)
        return;
    if (acknowledgement == AT_SYNC)
        assert_result(DATA_OK, data_file_sync(file, &fault));
    record_acknowledged(model.version);
}

static void checkpoint(struct data_file *file)
{
    struct fault fault;
    file->checkpoint_from = 1;
    assert_result(DATA_OK, data_file_maintain(file, &fault));
}

static struct data_file *reopen(void)
{
    struct fault fault;
    struct data_file *file;
    struct data_meta meta;
    assert_result(DATA_OK, data_file_open(&file, data_file_name, sync_mode, &meta, &fault));
    assert_int_equal(meta.version, model.version);
    record_acknowledged(model.version); /* an open syncs all that is there */
    return file;
}

/* A replacement fails at a step, and the next open goes on. @return the open file */
static struct data_file *replace_in_two(enum disk_call call, unsigned nth)
{
    struct fault fault;
    model_change(&model, 11, 13, 30 + nth);
    history[model.version] = model;
    disk_fail(call, nth, false, EIO);
    assert_result(DATA_FAILED, model_rewrite(&model, data_file_name, &fault));
    assert_true(data_exists(".new"));
    disk_mend();
    return reopen();
}

/* The process dies after a sync that failed, before it can do anything about it. With a reader, the
 * index of the log outlives it. @return the file, opened by the next process */
static struct data_file *die_after_failed_sync(struct data_file *file, bool with_reader)
{
    struct fault fault;
    struct data_rows *rows = NULL;
    struct data_meta meta;
    checkpoint(file);
    if (with_reader)
        assert_result(DATA_OK, data_rows_open(&rows, data_file_name, &meta, &fault));
    if (sync_mode == DATA_SYNC_OFF) {
        change(file, 14, 15, 0);
        if (model.version % 3 == 0)
            change(file, 16, 17, 0);
        disk_fail(DISK_SYNC, 1, false, EIO);
        assert_result(DATA_FAILED, data_file_sync(file, &fault));
    } else {
        change(file, 14, 15, 0);
        disk_fail(DISK_SYNC, 1, false, EIO);
        assert_result(DATA_FAILED, model_commit(&model, file, 16, 17, 0, &fault));
        if (!with_reader) { /* found in the log */
            model_change(&model, 16, 17, 0);
            history[model.version] = model;
        }
    }
    disk_mend();
    data_file_close(file, false);
    file = reopen();
    if (sync_mode == DATA_SYNC_FULL && with_reader)
        change(file, 16, 17, 0); /* again: a power cut may bring the first one back */
    change(file, 18, 18, 0);
    data_rows_close(rows);
    return file;
}

static void record_workload(void)
{
    struct fault fault;
    struct data_file *file;
    struct data_rows *rows;
    struct data_meta meta_of_rows;
    data_folder_clear(NULL);
    memset(&model, 0, sizeof(model));
    history[0] = model;
    record_begin();
    const struct data_meta meta = model_meta(&model);
    assert_result(DATA_OK, data_file_create(&file, data_file_name, sync_mode, &meta, &fault));
    record_acknowledged(0);
    for (uint64_t seq = 1; seq <= 6; seq++)
        change(file, seq, seq, 0);
    change(file, 7, 90, 3);
    checkpoint(file);
    for (uint64_t seq = 91; seq <= 94; seq++) /* the log starts from its front */
        change(file, seq, seq, seq - 50);
    checkpoint(file);
    change(file, 2, 4, 80);
    change(file, 95, 240, 0);
    data_file_close(file, true);
    record_acknowledged(model.version); /* a close with a checkpoint syncs, too */
    file = reopen();                    /* with a new log */
    change(file, 241, 241, 240);
    change(file, 97, 98, 0);
    change(file, 99, 99, 0); /* without syncs this one is not on the disk */
    data_file_close(file, false);
    file = reopen(); /* moves the log into the file */
    change(file, 96, 97, 0);
    checkpoint(file); /* else the next one would sync the log before it meets the reader */
    assert_result(DATA_OK, data_rows_open(&rows, data_file_name, &meta_of_rows, &fault));
    change(file, 100, 104, 2);
    change(file, 105, 106, 0);
    assert_int_not_equal(model.version % 3, 0); /* without syncs this is not on the disk */
    data_file_close(file, false);
    file = reopen(); /* the reader keeps the log from being moved */
    change(file, 107, 107, 0);
    data_rows_close(rows);
    change(file, 242, 250, 1);
    checkpoint(file);
    change(file, 251, 251, 0);
    data_file_close(file, false);
    model_change(&model, 5, 9, 20);
    history[model.version] = model;
    assert_result(DATA_OK, model_rewrite(&model, data_file_name, &fault));
    record_acknowledged(model.version);
    file = reopen();
    change(file, 252, 260, 7);
    change(file, 261, 261, 0);
    checkpoint(file);
    change(file, 1, 2, 0);
    data_file_close(file, false);
    file = replace_in_two(DISK_SYNC_FOLDER, 1);
    change(file, 262, 263, 0);
    data_file_close(file, false);
    file = replace_in_two(DISK_SYNC_FOLDER, 2);
    change(file, 264, 264, 0);
    data_file_close(file, false);
    file = replace_in_two(DISK_RENAME, 2);
    change(file, 265, 265, 0);
    file = die_after_failed_sync(file, false);
    file = die_after_failed_sync(file, true);
    data_file_close(file, false);
    record_end();
}

static void clear_cut_folder(void)
{
    DIR *folder = opendir(cut_folder);
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
        unlinkat(dirfd(folder), entry->d_name, 0);
    closedir(folder);
}

/* Opens the files that are left. @return false, with a reason: something is lost or wrong */
static bool survives(size_t steps, struct fault *fault)
{
    char path[128];
    struct data_file *file;
    struct data_meta meta;
    uint64_t acknowledged = 0;
    bool any = record_acknowledged_in(steps, &acknowledged);
    snprintf(path, sizeof(path), "%s/rosterd.db", cut_folder);
    enum data_result result = data_file_open(&file, path, DATA_SYNC_FULL, &meta, fault);
    if (result == DATA_NONE && !any)
        return true;
    if (result != DATA_OK)
        return fault_prefix(fault, "result %d", result);
    data_file_close(file, false);
    if (meta.version < acknowledged || meta.version > model.version)
        return fault_set(fault, "version %llu, acknowledged %llu", (unsigned long long)meta.version,
                         (unsigned long long)acknowledged);
    return model_equals(&history[meta.version], path, fault);
}

/* @return the cuts after which something was lost */
static unsigned cut_everywhere(bool report)
{
    unsigned lost = 0;
    for (size_t steps = 0; steps <= record_steps(); steps++) {
        /* A change of a name has few steps and great effects. */
        unsigned cuts = record_has_unsynced_names(steps) ? CUTS_OF_NAMES : CUTS_EACH;
        for (unsigned cut = 0; cut < cuts + 2; cut++) {
            enum record_loss loss = cut == 0   ? RECORD_KEEPS_ALL
                                    : cut == 1 ? RECORD_DROPS_ALL
                                               : RECORD_DROPS_SOME;
            struct fault fault = {""};
            clear_cut_folder();
            record_rebuild(steps, loss, cut, cut_folder);
            if (survives(steps, &fault))
                continue;
            lost++;
            if (report)
                print_error("after step %zu of %zu, cut %u: %s\n", steps, record_steps(), cut,
                            fault.text);
        }
    }
    return lost;
}

static void no_acknowledged_commit_is_lost(void **state)
{
    (void)state;
    sync_mode = DATA_SYNC_FULL;
    acknowledgement = AT_COMMIT;
    record_workload();
    print_message("%zu steps\n", record_steps());
    assert_int_equal(cut_everywhere(true), 0);
}

static void without_syncs_what_was_synced_is_not_lost(void **state)
{
    (void)state;
    sync_mode = DATA_SYNC_OFF;
    acknowledgement = AT_SYNC;
    record_workload();
    assert_int_equal(cut_everywhere(true), 0);
}

/* The test of the test: it finds the loss that must be there. */
static void without_syncs_commits_are_lost(void **state)
{
    (void)state;
    sync_mode = DATA_SYNC_OFF;
    acknowledgement = AT_COMMIT;
    record_workload();
    assert_true(cut_everywhere(false) > 20);
}

static int make_folders(void **state)
{
    if (data_folder_make(state) != 0)
        return -1;
    snprintf(cut_folder, sizeof(cut_folder), "%s-cut", data_folder);
    disk_install();
    return mkdir(cut_folder, 0700);
}

static int remove_folders(void **state)
{
    clear_cut_folder();
    rmdir(cut_folder);
    return data_folder_remove(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_acknowledged_commit_is_lost),
        cmocka_unit_test(without_syncs_what_was_synced_is_not_lost),
        cmocka_unit_test(without_syncs_commits_are_lost),
    };
    return cmocka_run_group_tests(tests, make_folders, remove_folders);
}
