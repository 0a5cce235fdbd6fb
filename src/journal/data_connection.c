/* SPDX-License-Identifier: MIT */
#include "journal/data_connection.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "journal/data_vfs.h"

static enum data_result result_of(int rc)
{
    /* The file of the log's index is full: it holds nothing that must last. */
    if (rc == SQLITE_IOERR_SHMSIZE || rc == SQLITE_IOERR_NOMEM)
        return DATA_FULL;
    switch (rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return DATA_OK;
    case SQLITE_FULL:
    case SQLITE_NOMEM:
        return DATA_FULL;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL: /* many tries to begin a read all met another's change */
        return DATA_BUSY;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_ERROR: /* a table or a column is missing */
    case SQLITE_SCHEMA:
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
    case SQLITE_TOOBIG:
        return DATA_INVALID;
    default:
        return DATA_FAILED;
    }
}

enum data_result data_sqlite_fault(sqlite3 *db, const char *path, int rc, const char *what,
                                   struct fault *fault)
{
    enum data_result result = result_of(rc);
    int primary = rc & 0xff, error = 0;
    if (db != NULL && (primary == SQLITE_IOERR || primary == SQLITE_CANTOPEN))
        error = data_vfs_error(db) != 0 ? data_vfs_error(db) : sqlite3_system_errno(db);
    if (rc == SQLITE_IOERR_SHMSIZE && error != 0 && error != ENOSPC && error != EDQUOT)
        result = DATA_FAILED;
    if (primary == SQLITE_NOMEM || rc == SQLITE_IOERR_NOMEM)
        fault_set(fault, "data-file %s: cannot %s: out of memory", path, what);
    else if (result == DATA_FULL)
        fault_set(fault, "data-file %s: cannot %s: the disk is full", path, what);
    else if (result == DATA_BUSY)
        fault_set(fault, "data-file %s: cannot %s: another process has locked it", path, what);
    else if (primary == SQLITE_ERROR && db != NULL)
        fault_set(fault, "data-file %s: cannot %s: %s", path, what, sqlite3_errmsg(db));
    else if (error != 0)
        fault_set(fault, "data-file %s: cannot %s: %s: %s", path, what, sqlite3_errstr(rc),
                  strerror(error));
    else
        fault_set(fault, "data-file %s: cannot %s: %s", path, what, sqlite3_errstr(rc));
    return result;
}

enum data_result data_run(sqlite3 *db, const char *path, const char *sql, struct fault *fault)
{
    int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? DATA_OK : data_sqlite_fault(db, path, rc, "use it", fault);
}

enum data_result data_prepare(sqlite3 *db, const char *path, const char *sql,
                              sqlite3_stmt **statement, struct fault *fault)
{
    int rc = sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, statement, NULL);
    return rc == SQLITE_OK ? DATA_OK : data_sqlite_fault(db, path, rc, "use it", fault);
}

enum data_result data_ask_number(sqlite3 *db, const char *path, const char *sql, int64_t *number,
                                 struct fault *fault)
{
    sqlite3_stmt *statement;
    enum data_result result = data_prepare(db, path, sql, &statement, fault);
    if (result != DATA_OK)
        return result;
    int rc = sqlite3_step(statement);
    *number = rc == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        result = data_sqlite_fault(db, path, rc, "read it", fault);
    sqlite3_finalize(statement);
    return result;
}

/* A path that leads to no regular file: SQLite's message would not say so. */
static enum data_result look_at_file(const char *path, struct fault *fault)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        enum data_result result = errno == ENOENT ? DATA_NONE : DATA_FAILED;
        fault_set_errno(fault, "data-file %s", path);
        return result;
    }
    if (!S_ISREG(st.st_mode)) {
        fault_set(fault, "data-file %s: is not a regular file", path);
        return DATA_INVALID;
    }
    return DATA_OK;
}

static enum data_result set_up(sqlite3 *db, const char *path, enum data_access access,
                               struct fault *fault)
{
    /* What a file says cannot make us do more than read and write its tables. */
    static const int off[] = {SQLITE_DBCONFIG_TRUSTED_SCHEMA, SQLITE_DBCONFIG_ENABLE_TRIGGER,
                              SQLITE_DBCONFIG_ENABLE_VIEW};
    sqlite3_extended_result_codes(db, 1);
    sqlite3_busy_timeout(db, DATA_BUSY_TIMEOUT_MS);
    sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    for (size_t i = 0; i < sizeof(off) / sizeof(*off); i++)
        sqlite3_db_config(db, off[i], 0, NULL);
    if (access != DATA_ACCESS_FILL) /* it would forbid to write without a journal */
        sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    return data_run(db, path,
                    "PRAGMA cell_size_check=ON; PRAGMA mmap_size=0; PRAGMA temp_store=MEMORY;"
                    "PRAGMA cache_size=-8192",
                    fault);
}

enum data_result data_connect_by(sqlite3 **db, const char *path, const char *vfs,
                                 enum data_access access, struct fault *fault)
{
    enum data_result result;
    /* A child has its parent's random numbers until it takes new ones, and a log's salt is one. */
    sqlite3_randomness(0, NULL);
    int flags = access == DATA_ACCESS_READ ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
    int rc = sqlite3_open_v2(path, db, flags | SQLITE_OPEN_NOMUTEX, vfs);
    if (rc != SQLITE_OK) {
        result = data_sqlite_fault(*db, path, rc, "open it", fault);
    } else if (access != DATA_ACCESS_READ && sqlite3_db_readonly(*db, "main") != 0) {
        /* SQLite falls back to reading. */
        fault_set(fault, "data-file %s: no permission to write it", path);
        result = DATA_FAILED;
    } else {
        result = set_up(*db, path, access, fault);
    }
    if (result != DATA_OK) {
        sqlite3_close(*db);
        *db = NULL;
    }
    return result;
}

enum data_result data_connect(sqlite3 **db, const char *path, enum data_access access,
                              struct fault *fault)
{
    *db = NULL;
    enum data_result result = look_at_file(path, fault);
    if (result != DATA_OK)
        return result;
    const char *vfs = data_vfs_name();
    if (vfs == NULL)
        return data_sqlite_fault(NULL, path, SQLITE_NOMEM, "open it", fault);
    return data_connect_by(db, path, vfs, access, fault);
}

static enum data_result set_invalid(const char *path, const char *what, struct fault *fault)
{
    fault_set(fault, "data-file %s: %s", path, what);
    return DATA_INVALID;
}

static enum data_result check_identity(sqlite3 *db, const char *path, unsigned *known,
                                       struct fault *fault)
{
    int64_t application, format;
    enum data_result result =
        data_ask_number(db, path, "PRAGMA application_id", &application, fault);
    if (result == DATA_OK)
        result = data_ask_number(db, path, "PRAGMA user_version", &format, fault);
    if (result != DATA_OK)
        return result;
    if (application != DATA_APPLICATION_ID)
        return set_invalid(path, "is not a data file of rosterd: name another one", fault);
    if (format < 1 || format > DATA_FORMAT) {
        fault_set(fault, "data-file %s: has format %lld, and this rosterd knows format %d%s", path,
                  (long long)format, DATA_FORMAT,
                  format > DATA_FORMAT ? "; use the newer rosterd that made it" : "");
        return DATA_INVALID;
    }
    *known = (unsigned)format;
    return DATA_OK;
}

/* @param meta its format is known already */
static enum data_result take_meta(sqlite3_stmt *statement, const char *path, struct data_meta *meta,
                                  struct fault *fault)
{
    if (sqlite3_column_type(statement, 0) != SQLITE_BLOB ||
        sqlite3_column_bytes(statement, 0) != DATA_ID_SIZE)
        return set_invalid(path, "the store's id in its meta data is damaged", fault);
    for (int column = 1; column <= 7; column++) {
        if (sqlite3_column_type(statement, column) != SQLITE_INTEGER ||
            sqlite3_column_int64(statement, column) < 0)
            return set_invalid(path, "the numbers in its meta data are damaged", fault);
    }
    if (sqlite3_column_int64(statement, 4) != meta->format)
        return set_invalid(
            path, "its meta data are damaged: they name another format than the file", fault);
    memcpy(meta->store, sqlite3_column_blob(statement, 0), DATA_ID_SIZE);
    meta->version = (uint64_t)sqlite3_column_int64(statement, 1);
    meta->count = (uint64_t)sqlite3_column_int64(statement, 2);
    meta->seq = (uint64_t)sqlite3_column_int64(statement, 3);
    meta->feed = (uint64_t)sqlite3_column_int64(statement, 5);
    meta->deletes = (uint64_t)sqlite3_column_int64(statement, 6);
    meta->requests = (uint64_t)sqlite3_column_int64(statement, 7);
    if (meta->feed > meta->version)
        return set_invalid(path, "the numbers in its meta data are damaged", fault);
    return DATA_OK;
}

enum data_result data_check_meta(sqlite3 *db, const char *path, struct data_meta *meta,
                                 struct fault *fault)
{
    sqlite3_stmt *statement;
    enum data_result result = check_identity(db, path, &meta->format, fault);
    if (result == DATA_OK)
        result =
            data_prepare(db, path,
                         meta->format == 1
                             ? "SELECT store, version, count, seq, format, version, 0, 0 FROM meta"
                             : "SELECT store, version, count, seq, format, feed, deletes, requests "
                               "FROM meta",
                         &statement, fault);
    if (result != DATA_OK)
        return result;
    int rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW) {
        result = take_meta(statement, path, meta, fault);
        rc = sqlite3_step(statement);
    } else if (rc == SQLITE_DONE) {
        result = set_invalid(path, "has no meta data", fault);
    }
    if (rc == SQLITE_ROW)
        result = set_invalid(path, "has more than one row of meta data", fault);
    else if (rc != SQLITE_DONE)
        result = data_sqlite_fault(db, path, rc, "read it", fault);
    sqlite3_finalize(statement);
    return result;
}
