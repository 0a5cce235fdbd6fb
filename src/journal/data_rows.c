/* SPDX-License-Identifier: MIT */
/* Reads a data file from its first row to its last. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#include "journal/data_connection.h"
#include "journal/data_history.h"
#include "journal/data_image.h"
#include "journal/data_path.h"
#include "journal/data_row.h"
#include "journal/data_swap.h"

struct data_rows {
    sqlite3 *db;
    sqlite3_stmt *statement;
    struct data_image image;   /* of a file that was opened by its descriptor */
    char path[DATA_PATH_SIZE]; /* of one that was not; else its name for faults */
    struct data_meta meta;
    uint64_t count, last_seq;
    bool begun, has_image;
};

static enum data_result begin_rows(struct data_rows *rows, struct fault *fault)
{
    /* One transaction, so that the meta data and the rows are of the same commit. */
    enum data_result result = data_run(rows->db, rows->path, "BEGIN", fault);
    if (result == DATA_OK)
        result = data_check_meta(rows->db, rows->path, &rows->meta, fault);
    if (result == DATA_OK && !rows->has_image)
        result = data_swap_look(rows->db, rows->path, fault);
    if (result == DATA_OK)
        result =
            data_prepare(rows->db, rows->path,
                         rows->meta.format == 1
                             ? "SELECT seq, version, sum, id, body, NULL FROM users ORDER BY seq"
                             : "SELECT seq, version, sum, id, body, hidden FROM users ORDER BY seq",
                         &rows->statement, fault);
    return result;
}

/* The result of connecting. @return the result of opening; frees after a failure */
static enum data_result rows_connected(enum data_result result, struct data_rows *rows,
                                       struct data_rows **rows_out, struct data_meta *meta,
                                       struct fault *fault)
{
    if (result == DATA_OK)
        result = begin_rows(rows, fault);
    if (result != DATA_OK) {
        data_rows_close(rows);
        return result;
    }
    *meta = rows->meta;
    *rows_out = rows;
    return DATA_OK;
}

enum data_result data_rows_open(struct data_rows **rows_out, const char *path,
                                struct data_meta *meta, struct fault *fault)
{
    struct data_rows *rows = calloc(1, sizeof(*rows));
    *rows_out = NULL;
    if (rows == NULL)
        return data_sqlite_fault(NULL, path, SQLITE_NOMEM, "open it", fault);
    enum data_result result = data_path_resolve(path, rows->path, fault);
    if (result == DATA_OK)
        result = data_connect(&rows->db, rows->path, DATA_ACCESS_READ, fault);
    return rows_connected(result, rows, rows_out, meta, fault);
}

enum data_result data_rows_open_at(struct data_rows **rows_out, int fd, const char *name,
                                   struct data_meta *meta, struct fault *fault)
{
    struct data_rows *rows = calloc(1, sizeof(*rows));
    *rows_out = NULL;
    if (rows == NULL)
        return data_sqlite_fault(NULL, name, SQLITE_NOMEM, "open it", fault);
    snprintf(rows->path, sizeof(rows->path), "%s", name);
    rows->has_image = true;
    rows->image = (struct data_image){.fd = fd, .name = rows->path};
    enum data_result result = data_image_connect(&rows->image, DATA_ACCESS_READ, &rows->db, fault);
    return rows_connected(result, rows, rows_out, meta, fault);
}

static enum data_result set_damaged(const struct data_rows *rows, uint64_t seq, const char *what,
                                    struct fault *fault)
{
    fault_set(fault, "data-file %s: the user with seq %lld is damaged: %s", rows->path,
              (long long)seq, what);
    return DATA_INVALID;
}

static enum data_result at_end(const struct data_rows *rows, struct fault *fault)
{
    if (rows->count == rows->meta.count)
        return DATA_NONE;
    fault_set(fault, "data-file %s: has %llu users, and its meta data say %llu", rows->path,
              (unsigned long long)rows->count, (unsigned long long)rows->meta.count);
    return DATA_INVALID;
}

static enum data_result stop_rows(const struct data_rows *rows, int rc, struct fault *fault)
{
    char what[64] = "read its first user";
    if (rows->begun)
        sqlite3_snprintf(sizeof(what), what, "read the user behind seq %lld",
                         (long long)rows->last_seq);
    return data_sqlite_fault(rows->db, rows->path, rc, what, fault);
}

static bool has_types(sqlite3_stmt *statement)
{
    return sqlite3_column_type(statement, 1) == SQLITE_INTEGER &&
           sqlite3_column_type(statement, 2) == SQLITE_INTEGER &&
           sqlite3_column_type(statement, 3) == SQLITE_BLOB &&
           sqlite3_column_type(statement, 4) == SQLITE_BLOB &&
           (sqlite3_column_type(statement, 5) == SQLITE_BLOB ||
            sqlite3_column_type(statement, 5) == SQLITE_NULL);
}

/* @return DATA_OK; DATA_FULL: SQLite had no memory for the blobs */
static enum data_result take_row(struct data_rows *rows, struct data_row *row, struct fault *fault)
{
    static const uint8_t nothing[1];
    sqlite3_stmt *statement = rows->statement;
    row->seq = (uint64_t)sqlite3_column_int64(statement, 0);
    if (!has_types(statement))
        return set_damaged(rows, row->seq, "a value has the wrong type", fault);
    row->version = (uint64_t)sqlite3_column_int64(statement, 1);
    const void *id = sqlite3_column_blob(statement, 3);
    row->body = sqlite3_column_blob(statement, 4);
    row->body_len = (uint32_t)sqlite3_column_bytes(statement, 4);
    row->hidden = sqlite3_column_blob(statement, 5);
    row->hidden_len = (uint32_t)sqlite3_column_bytes(statement, 5);
    if (sqlite3_column_bytes(statement, 3) != DATA_ID_SIZE)
        return set_damaged(rows, row->seq, "its id has the wrong length", fault);
    if (id == NULL || (row->body == NULL && row->body_len > 0) ||
        (row->hidden == NULL && row->hidden_len > 0))
        return stop_rows(rows, sqlite3_errcode(rows->db), fault);
    memcpy(row->id, id, DATA_ID_SIZE);
    if (row->body == NULL)
        row->body = nothing;
    return DATA_OK;
}

enum data_result data_rows_next(struct data_rows *rows, struct data_row *row, struct fault *fault)
{
    int rc = sqlite3_step(rows->statement);
    if (rc == SQLITE_DONE)
        return at_end(rows, fault);
    if (rc != SQLITE_ROW)
        return stop_rows(rows, rc, fault);
    enum data_result result = take_row(rows, row, fault);
    if (result != DATA_OK)
        return result;
    if ((uint64_t)sqlite3_column_int64(rows->statement, 2) != data_row_sum(row))
        return set_damaged(rows, row->seq, "its sum is wrong", fault);
    if (rows->begun && row->seq <= rows->last_seq)
        return set_damaged(rows, row->seq, "it is out of order", fault);
    if (row->version > rows->meta.version || row->seq > rows->meta.seq)
        return set_damaged(rows, row->seq, "it is newer than the meta data", fault);
    rows->begun = true;
    rows->last_seq = row->seq;
    rows->count++;
    return DATA_OK;
}

enum data_result data_rows_history(struct data_rows *rows, const struct data_history_reader *reader,
                                   struct fault *fault)
{
    return data_history_read(rows->db, rows->path, &rows->meta, reader, fault);
}

void data_rows_close(struct data_rows *rows)
{
    if (rows == NULL)
        return;
    sqlite3_finalize(rows->statement);
    sqlite3_close(rows->db);
    free(rows);
}
