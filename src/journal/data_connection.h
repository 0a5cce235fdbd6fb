/* SPDX-License-Identifier: MIT */
/* Connections to SQLite: how each is set up, its errors as results, and what the file must be. */
#ifndef ROSTERD_JOURNAL_DATA_CONNECTION_H
#define ROSTERD_JOURNAL_DATA_CONNECTION_H

#include <stdint.h>

#include <sqlite3.h>

#include "base/fault.h"
#include "journal/data_file.h"

enum {
    DATA_APPLICATION_ID = 0x726f7374, /* "rost" */
    DATA_BUSY_TIMEOUT_MS = 3000,      /* how long a lock of another process is waited for */
};

enum data_access {
    DATA_ACCESS_READ,
    DATA_ACCESS_WRITE,
    DATA_ACCESS_FILL, /* a file that nobody else knows yet: without a journal, without syncs */
};

/**
 * Opens a connection to an existing file. Closing it does not checkpoint
 * (SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE).
 * @param path from data_path_resolve()
 * @param db receives the connection, or NULL
 * @return DATA_NONE if there is no such file
 */
enum data_result data_connect(sqlite3 **db, const char *path, enum data_access access,
                              struct fault *fault);
/** The same by another file system layer of SQLite, without a look at the file. */
enum data_result data_connect_by(sqlite3 **db, const char *path, const char *vfs,
                                 enum data_access access, struct fault *fault);
/** Whether the database is rosterd's, of a format that this program knows. Reads its meta data with
 * the format. */
enum data_result data_check_meta(sqlite3 *db, const char *path, struct data_meta *meta,
                                 struct fault *fault);

/** Sets the fault to "data-file PATH: cannot WHAT: reason". @return the result for rc,
 * SQLite's code, extended or not */
enum data_result data_sqlite_fault(sqlite3 *db, const char *path, int rc, const char *what,
                                   struct fault *fault);
/** Runs statements without parameters; rows are ignored. */
enum data_result data_run(sqlite3 *db, const char *path, const char *sql, struct fault *fault);
/** Prepares a statement that is kept. */
enum data_result data_prepare(sqlite3 *db, const char *path, const char *sql,
                              sqlite3_stmt **statement, struct fault *fault);
/** The integer in the first row of a query; 0 for NULL. */
enum data_result data_ask_number(sqlite3 *db, const char *path, const char *sql, int64_t *number,
                                 struct fault *fault);

#endif
