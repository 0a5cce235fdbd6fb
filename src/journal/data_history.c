/* SPDX-License-Identifier: MIT */
#include "journal/data_history.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "journal/data_connection.h"

/* ---- sums: XXH3 over the numbers, eight bytes each, little endian, then the ids ---- */

static uint64_t deleted_sum(const struct data_deleted *deleted)
{
    uint8_t bytes[16 + DATA_ID_SIZE];
    const uint64_t numbers[2] = {htole64(deleted->version), htole64(deleted->seq)};
    memcpy(bytes, numbers, sizeof(numbers));
    memcpy(bytes + sizeof(numbers), deleted->id, DATA_ID_SIZE);
    return XXH3_64bits(bytes, sizeof(bytes));
}

static uint64_t request_sum(const struct data_request *request)
{
    uint8_t bytes[24 + 2 * DATA_ID_SIZE];
    const uint64_t numbers[3] = {htole64(request->version), htole64(request->time),
                                 htole64(request->fingerprint)};
    memcpy(bytes, numbers, sizeof(numbers));
    memcpy(bytes + sizeof(numbers), request->id, DATA_ID_SIZE);
    memcpy(bytes + sizeof(numbers) + DATA_ID_SIZE, request->user, DATA_ID_SIZE);
    return XXH3_64bits(bytes, sizeof(bytes));
}

/* ---- writing ---- */

int data_deleted_bind(sqlite3_stmt *statement, const struct data_deleted *deleted)
{
    assert(deleted->seq <= INT64_MAX && deleted->version <= INT64_MAX);
    int rc = sqlite3_bind_int64(statement, 1, (sqlite3_int64)deleted->version);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_int64(statement, 2, (sqlite3_int64)deleted->seq);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_blob(statement, 3, deleted->id, DATA_ID_SIZE, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_int64(statement, 4, (sqlite3_int64)deleted_sum(deleted));
    return rc;
}

int data_request_bind(sqlite3_stmt *statement, const struct data_request *request)
{
    assert(request->version <= INT64_MAX && request->time <= INT64_MAX);
    int rc = sqlite3_bind_int64(statement, 1, (sqlite3_int64)request->version);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_blob(statement, 2, request->id, DATA_ID_SIZE, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_blob(statement, 3, request->user, DATA_ID_SIZE, SQLITE_STATIC);
    const uint64_t numbers[] = {request->time, request->fingerprint, request_sum(request)};
    for (int i = 0; i < 3 && rc == SQLITE_OK; i++)
        rc = sqlite3_bind_int64(statement, 4 + i, (sqlite3_int64)numbers[i]);
    return rc;
}

/* ---- reading ---- */

static enum data_result damaged_row(const char *path, const char *table, uint64_t version,
                                    struct fault *fault)
{
    fault_set(fault, "data-file %s: the row of commit %llu in its table %s is damaged", path,
              (unsigned long long)version, table);
    return DATA_INVALID;
}

static bool take_id(sqlite3_stmt *statement, int column, uint8_t id[DATA_ID_SIZE])
{
    const void *blob = sqlite3_column_blob(statement, column);
    if (blob == NULL || sqlite3_column_bytes(statement, column) != DATA_ID_SIZE)
        return false;
    memcpy(id, blob, DATA_ID_SIZE);
    return true;
}

static uint64_t number_in(sqlite3_stmt *statement, int column)
{
    return (uint64_t)sqlite3_column_int64(statement, column);
}

static bool take_deleted(sqlite3_stmt *statement, const struct data_meta *meta,
                         struct data_deleted *deleted)
{
    deleted->version = number_in(statement, 0);
    deleted->seq = number_in(statement, 1);
    return take_id(statement, 2, deleted->id) && deleted->version <= meta->version &&
           deleted->seq <= meta->seq && number_in(statement, 3) == deleted_sum(deleted);
}

static bool take_request(sqlite3_stmt *statement, const struct data_meta *meta,
                         struct data_request *request)
{
    request->version = number_in(statement, 0);
    request->time = number_in(statement, 3);
    request->fingerprint = number_in(statement, 4);
    return take_id(statement, 1, request->id) && take_id(statement, 2, request->user) &&
           request->version <= meta->version && number_in(statement, 5) == request_sum(request);
}

/* Passes a row on. */
typedef enum data_result take_row_of(sqlite3_stmt *statement, const char *path,
                                     const struct data_meta *meta,
                                     const struct data_history_reader *reader, struct fault *fault);

static enum data_result pass_deleted(sqlite3_stmt *statement, const char *path,
                                     const struct data_meta *meta,
                                     const struct data_history_reader *reader, struct fault *fault)
{
    struct data_deleted deleted;
    if (!take_deleted(statement, meta, &deleted))
        return damaged_row(path, "deleted", deleted.version, fault);
    if (reader->deleted == NULL || reader->deleted(reader->data, &deleted))
        return DATA_OK;
    return data_sqlite_fault(NULL, path, SQLITE_NOMEM, "read it", fault);
}

static enum data_result pass_request(sqlite3_stmt *statement, const char *path,
                                     const struct data_meta *meta,
                                     const struct data_history_reader *reader, struct fault *fault)
{
    struct data_request request;
    if (!take_request(statement, meta, &request))
        return damaged_row(path, "requests", request.version, fault);
    if (reader->request == NULL || reader->request(reader->data, &request))
        return DATA_OK;
    return data_sqlite_fault(NULL, path, SQLITE_NOMEM, "read it", fault);
}

/* @param count the rows that there are to be */
static enum data_result read_past_table(sqlite3 *db, const char *path, const char *sql,
                                        take_row_of *take, uint64_t count,
                                        const struct data_meta *meta,
                                        const struct data_history_reader *reader,
                                        struct fault *fault)
{
    sqlite3_stmt *statement;
    enum data_result result = data_prepare(db, path, sql, &statement, fault);
    int rc = SQLITE_DONE;
    uint64_t rows = 0;
    for (; result == DATA_OK && (rc = sqlite3_step(statement)) == SQLITE_ROW; rows++)
        result = take(statement, path, meta, reader, fault);
    if (result == DATA_OK && rc == SQLITE_DONE && rows != count) {
        fault_set(fault, "data-file %s: a table has %llu rows, and its meta data say %llu", path,
                  (unsigned long long)rows, (unsigned long long)count);
        result = DATA_INVALID;
    }
    if (result == DATA_OK && rc != SQLITE_DONE)
        result = data_sqlite_fault(db, path, rc, "read it", fault);
    sqlite3_finalize(statement);
    return result;
}

enum data_result data_history_read(sqlite3 *db, const char *path, const struct data_meta *meta,
                                   const struct data_history_reader *reader, struct fault *fault)
{
    if (meta->format == 1)
        return DATA_OK;
    enum data_result result =
        read_past_table(db, path, "SELECT version, seq, id, sum FROM deleted ORDER BY version, seq",
                        pass_deleted, meta->deletes, meta, reader, fault);
    if (result == DATA_OK)
        result = read_past_table(db, path,
                                 "SELECT version, id, user, time, fingerprint, sum FROM requests "
                                 "ORDER BY version",
                                 pass_request, meta->requests, meta, reader, fault);
    return result;
}
