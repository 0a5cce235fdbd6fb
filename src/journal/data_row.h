/* SPDX-License-Identifier: MIT */
/* A row of the table of users: its sum, and how it is bound to a statement. */
#ifndef ROSTERD_JOURNAL_DATA_ROW_H
#define ROSTERD_JOURNAL_DATA_ROW_H

#include <stdint.h>

#include <sqlite3.h>

#include "journal/data_file.h"

#define DATA_INSERT_ROW                                                                            \
    "INSERT INTO users(seq, id, version, sum, body, hidden) VALUES(?1, ?2, ?3, ?4, ?5, ?6)"

/* DATA_QUEUE_ROWS users. Each error ends the transaction, so SQLite need not be able to take back
 * this statement alone. */
#define DATA_FOUR_ROWS                                                                             \
    "(?, ?, ?, ?, ?, ?), (?, ?, ?, ?, ?, ?), (?, ?, ?, ?, ?, ?), (?, ?, ?, ?, ?, ?)"
#define DATA_INSERT_ROWS                                                                           \
    "INSERT OR ROLLBACK INTO users(seq, id, version, sum, body, hidden) VALUES" DATA_FOUR_ROWS     \
    ", " DATA_FOUR_ROWS ", " DATA_FOUR_ROWS ", " DATA_FOUR_ROWS

#define DATA_UPDATE_ROW                                                                            \
    "UPDATE users SET id = ?2, version = ?3, sum = ?4, body = ?5, hidden = ?6 WHERE seq = ?1"

/** XXH3 over seq and version (eight bytes each, little endian), id, body and hidden; the seed is
 * the length of hidden. */
uint64_t data_row_sum(const struct data_row *row);
enum { DATA_ROW_PARAMETERS = 6 };

/** Binds six parameters: seq, id, version, sum, body, hidden (NULL if it is empty). The row must
 * outlive the step.
 * @param first the number of the first one; SQLite counts from 1
 * @return SQLite's */
int data_row_bind(sqlite3_stmt *statement, int first, const struct data_row *row);

#endif
