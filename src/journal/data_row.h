/* SPDX-License-Identifier: MIT */
/* A row of the table of users: its sum, and how it is bound to a statement. */
#ifndef ROSTERD_JOURNAL_DATA_ROW_H
#define ROSTERD_JOURNAL_DATA_ROW_H

#include <stdint.h>

#include <sqlite3.h>

#include "journal/data_file.h"

#define DATA_INSERT_ROW                                                                            \
    "INSERT INTO users(seq, id, version, sum, body, hidden) VALUES(?1, ?2, ?3, ?4, ?5, ?6)"

#define DATA_UPDATE_ROW                                                                            \
    "UPDATE users SET id = ?2, version = ?3, sum = ?4, body = ?5, hidden = ?6 WHERE seq = ?1"

/** XXH3 over seq and version (eight bytes each, little endian), id, body and hidden; the seed is
 * the length of hidden. */
uint64_t data_row_sum(const struct data_row *row);
/** Binds ?1 to ?6: seq, id, version, sum, body, hidden (NULL if it is empty). The row must outlive
 * the step. @return SQLite's */
int data_row_bind(sqlite3_stmt *statement, const struct data_row *row);

#endif
