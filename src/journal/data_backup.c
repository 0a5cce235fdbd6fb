/* SPDX-License-Identifier: MIT */
/* Copies a data file, and checks the copy. */
#include <errno.h>
#include <string.h>

#include <sqlite3.h>

#include "journal/data_connection.h"
#include "journal/data_count.h"
#include "journal/data_os.h"
#include "journal/data_path.h"
#include "journal/data_swap.h"
#include "journal/data_vfs.h"

enum { PAGES_PER_STEP = 1024 };

struct backup {
    char from[DATA_PATH_SIZE], to[DATA_PATH_SIZE];
    sqlite3 *source, *copy;
    void (*progress)(void *data, uint64_t done, uint64_t total);
    void *data;
};

static enum data_result copy_pages(struct backup *backup, struct fault *fault)
{
    sqlite3_backup *steps = sqlite3_backup_init(backup->copy, "main", backup->source, "main");
    if (steps == NULL)
        return data_sqlite_fault(backup->copy, backup->to, sqlite3_extended_errcode(backup->copy),
                                 "copy into it", fault);
    int rc;
    do {
        rc = sqlite3_backup_step(steps, PAGES_PER_STEP);
        int total = sqlite3_backup_pagecount(steps), left = sqlite3_backup_remaining(steps);
        if (backup->progress != NULL && (rc == SQLITE_OK || rc == SQLITE_DONE))
            backup->progress(backup->data, (uint64_t)(total - left), (uint64_t)total);
    } while (rc == SQLITE_OK);
    sqlite3_backup_finish(steps);
    return rc == SQLITE_DONE
               ? DATA_OK
               : data_sqlite_fault(backup->copy, backup->to, rc, "copy into it", fault);
}

static enum data_result fill_copy(struct backup *backup, struct fault *fault)
{
    struct data_meta ignored;
    enum data_result result = data_connect(&backup->source, backup->from, DATA_ACCESS_READ, fault);
    /* In a transaction of the source, because otherwise each commit of the server would make the
     * backup begin again. */
    if (result == DATA_OK)
        result = data_run(backup->source, backup->from, "BEGIN", fault);
    if (result == DATA_OK)
        result = data_check_meta(backup->source, backup->from, &ignored, fault);
    if (result == DATA_OK)
        result = data_swap_look(backup->source, backup->from, fault);
    if (result == DATA_OK)
        result = data_connect(&backup->copy, backup->to, DATA_ACCESS_FILL, fault);
    if (result == DATA_OK)
        result = data_run(backup->copy, backup->to,
                          "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF", fault);
    if (result == DATA_OK)
        result = copy_pages(backup, fault);
    /* The copy is one file, without the mark for a write-ahead log that the source has. */
    if (result == DATA_OK)
        result = data_run(backup->copy, backup->to, "PRAGMA journal_mode=DELETE", fault);
    if (result == DATA_OK) {
        int rc = data_vfs_sync_database(backup->copy);
        if (rc != SQLITE_OK)
            result = data_sqlite_fault(backup->copy, backup->to, rc, "sync it", fault);
    }
    return result;
}

static enum data_result check_rows(const char *path, struct data_meta *meta, struct fault *fault)
{
    struct data_rows *rows;
    struct data_row row;
    enum data_result result = data_rows_open(&rows, path, meta, fault);
    if (result != DATA_OK)
        return result;
    while ((result = data_rows_next(rows, &row, fault)) == DATA_OK)
        ;
    data_rows_close(rows);
    return result == DATA_NONE ? DATA_OK : result;
}

static enum data_result check_pages(const char *path, struct fault *fault)
{
    sqlite3 *db;
    sqlite3_stmt *statement;
    enum data_result result = data_connect(&db, path, DATA_ACCESS_READ, fault);
    if (result != DATA_OK)
        return result;
    result = data_prepare(db, path, "PRAGMA integrity_check(1)", &statement, fault);
    if (result == DATA_OK) {
        int rc = sqlite3_step(statement);
        const char *text =
            rc == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : NULL;
        if (rc != SQLITE_ROW) {
            result = data_sqlite_fault(db, path, rc, "check it", fault);
        } else if (text == NULL || strcmp(text, "ok") != 0) {
            fault_set(fault, "data-file %s: is damaged: %s", path, text == NULL ? "" : text);
            result = DATA_INVALID;
        }
        sqlite3_finalize(statement);
    }
    sqlite3_close(db);
    return result;
}

static enum data_result make_copy(struct backup *backup, struct data_meta *meta,
                                  struct fault *fault)
{
    enum data_result result = fill_copy(backup, fault);
    sqlite3_close(backup->copy);
    sqlite3_close(backup->source);
    if (result == DATA_OK)
        result = check_rows(backup->to, meta, fault);
    if (result == DATA_OK)
        result = check_pages(backup->to, fault);
    if (result == DATA_OK && data_os.sync_folder(backup->to) != 0)
        result = data_os_fault(backup->to, "sync its directory", fault);
    return result;
}

enum data_result data_backup(const char *from, const char *to,
                             void (*progress)(void *data, uint64_t done, uint64_t total),
                             void *data, struct data_meta *meta, struct fault *fault)
{
    struct backup backup = {.progress = progress, .data = data};
    enum data_result result = data_path_resolve(from, backup.from, fault);
    if (result != DATA_OK)
        return result;
    result = data_path_resolve(to, backup.to, fault);
    if (result != DATA_OK)
        return data_count_result(result == DATA_NONE ? DATA_FAILED : result);
    if (data_os.create(backup.to) != 0)
        return data_count_result(data_os_fault(backup.to, "make it", fault));
    result = make_copy(&backup, meta, fault);
    if (result != DATA_OK)
        (void)data_os_remove(backup.to);
    return data_count_result(result);
}
