/* SPDX-License-Identifier: MIT */
/* The data file's tables beside the users: who was deleted, and which requests were done. */
#ifndef ROSTERD_JOURNAL_DATA_HISTORY_H
#define ROSTERD_JOURNAL_DATA_HISTORY_H

#include <sqlite3.h>

#include "journal/data_file.h"

#define DATA_HISTORY_TABLES                                                                        \
    "CREATE TABLE deleted(version INTEGER NOT NULL, seq INTEGER NOT NULL, id BLOB NOT NULL,"       \
    " sum INTEGER NOT NULL, PRIMARY KEY(version, seq)) WITHOUT ROWID;"                             \
    "CREATE TABLE requests(version INTEGER PRIMARY KEY, id BLOB NOT NULL, user BLOB NOT NULL,"     \
    " time INTEGER NOT NULL, fingerprint INTEGER NOT NULL, sum INTEGER NOT NULL);"

#define DATA_INSERT_DELETED "INSERT INTO deleted VALUES(?1, ?2, ?3, ?4)"

#define DATA_INSERT_REQUEST "INSERT INTO requests VALUES(?1, ?2, ?3, ?4, ?5, ?6)"

/** Binds all parameters of the statements above. What is bound must outlive the step.
 * @return SQLite's */
int data_deleted_bind(sqlite3_stmt *statement, const struct data_deleted *deleted);
int data_request_bind(sqlite3_stmt *statement, const struct data_request *request);

/** Reads the tables in the connection's transaction: as data_rows_history(). `meta` is the file's.
 */
enum data_result data_history_read(sqlite3 *db, const char *path, const struct data_meta *meta,
                                   const struct data_history_reader *reader, struct fault *fault);

#endif
