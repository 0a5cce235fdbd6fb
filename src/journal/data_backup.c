/* SPDX-License-Identifier: MIT */
/* Copies a data file, and checks copies. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include <sqlite3.h>

#include "journal/data_connection.h"
#include "journal/data_count.h"
#include "journal/data_image.h"
#include "journal/data_os.h"
#include "journal/data_path.h"
#include "journal/data_swap.h"

enum { PAGES_PER_STEP = 1024 };

/* ---- copying ---- */

struct backup {
    char from[DATA_PATH_SIZE];
    sqlite3 *source, *copy;
    struct data_image image; /* the copy */
};

static enum data_result copy_pages(struct backup *backup, struct fault *fault)
{
    sqlite3_backup *steps = sqlite3_backup_init(backup->copy, "main", backup->source, "main");
    if (steps == NULL)
        return data_image_fault(&backup->image, backup->copy,
                                sqlite3_extended_errcode(backup->copy), "copy into it", fault);
    enum data_result result = DATA_OK;
    int rc;
    do {
        rc = sqlite3_backup_step(steps, PAGES_PER_STEP);
        int total = sqlite3_backup_pagecount(steps), left = sqlite3_backup_remaining(steps);
        if (rc == SQLITE_OK || rc == SQLITE_DONE)
            result =
                data_image_show(&backup->image, (uint64_t)(total - left), (uint64_t)total, fault);
    } while (rc == SQLITE_OK && result == DATA_OK);
    sqlite3_backup_finish(steps);
    if (result != DATA_OK || rc == SQLITE_DONE)
        return result;
    return data_image_fault(&backup->image, backup->copy, rc, "copy into it", fault);
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
        result = data_image_connect(&backup->image, DATA_ACCESS_FILL, &backup->copy, fault);
    if (result == DATA_OK)
        result = data_run(backup->copy, backup->image.name,
                          "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF", fault);
    return result == DATA_OK ? copy_pages(backup, fault) : result;
}

enum data_result data_backup(const char *from, int to, const char *name, data_progress *progress,
                             void *data, struct fault *fault)
{
    struct backup backup = {
        .image = {.fd = to, .name = name, .progress = progress, .data = data},
    };
    enum data_result result = data_path_resolve(from, backup.from, fault);
    if (result != DATA_OK)
        return result;
    result = fill_copy(&backup, fault);
    sqlite3_close(backup.copy);
    sqlite3_close(backup.source);
    if (result == DATA_OK && !data_image_unmark(&backup.image))
        result = data_os_fault(name, "write it", fault);
    return data_count_result(result);
}

/* ---- checking ---- */

static enum data_result check_rows(const struct data_image *image, struct data_meta *meta,
                                   data_progress *progress, void *data, struct fault *fault)
{
    enum { ROWS_A_SIGN = 16384 };
    struct data_rows *rows;
    struct data_row row;
    enum data_result result = data_rows_open_at(&rows, image->fd, image->name, meta, fault);
    if (result != DATA_OK)
        return result;
    uint64_t done = 0;
    while ((result = data_rows_next(rows, &row, fault)) == DATA_OK) {
        if (++done % ROWS_A_SIGN != 0 || progress == NULL)
            continue;
        /* The rows are the second half of the work. */
        uint64_t total = 2 * (done < meta->count ? meta->count : done);
        if (!progress(data, total / 2 + done, total)) {
            fault_set(fault, "%s: interrupted", image->name);
            result = DATA_FAILED;
            break;
        }
    }
    if (result == DATA_NONE)
        result = data_rows_history(rows, &(struct data_history_reader){.data = NULL}, fault);
    data_rows_close(rows);
    return result;
}

static enum data_result check_integrity(struct data_image *image, struct data_meta *meta,
                                        struct fault *fault)
{
    sqlite3 *db;
    sqlite3_stmt *statement;
    enum data_result result = data_image_connect(image, DATA_ACCESS_READ, &db, fault);
    if (result != DATA_OK)
        return result;
    result = data_check_meta(db, image->name, meta, fault);
    if (result == DATA_OK)
        result = data_prepare(db, image->name, "PRAGMA integrity_check(1)", &statement, fault);
    if (result == DATA_OK) {
        int rc = sqlite3_step(statement);
        const char *text =
            rc == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : NULL;
        if (image->stopped || rc != SQLITE_ROW) {
            result = data_image_fault(image, db, rc, "check it", fault);
        } else if (text == NULL || strcmp(text, "ok") != 0) {
            fault_set(fault, "data-file %s: is damaged: %s", image->name, text == NULL ? "" : text);
            result = DATA_INVALID;
        }
        sqlite3_finalize(statement);
    }
    sqlite3_close(db);
    return result;
}

enum data_result data_check(int fd, const char *name, data_progress *progress, void *data,
                            struct data_meta *meta, struct fault *fault)
{
    enum { PAGE_BYTES = 4096 };
    struct data_image image = {.fd = fd, .name = name, .progress = progress, .data = data};
    struct stat st;
    if (fstat(fd, &st) != 0)
        return data_os_fault(name, "read it", fault);
    image.total = 2 * (1 + (uint64_t)st.st_size / PAGE_BYTES);
    enum data_result result = check_integrity(&image, meta, fault);
    if (result == DATA_OK)
        result = check_rows(&image, meta, progress, data, fault);
    return result;
}
