/* SPDX-License-Identifier: MIT */
/* New users that one statement inserts together: a statement has costs of its own, a large part of
 * what SQLite spends on a user who is inserted alone. */
#ifndef ROSTERD_JOURNAL_DATA_QUEUE_H
#define ROSTERD_JOURNAL_DATA_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "journal/data_file.h"

enum { DATA_QUEUE_ROWS = 16, DATA_QUEUE_BYTES = 8192 };

/** All zero: empty. */
struct data_queue {
    unsigned count;
    size_t used;                           /* of bytes */
    struct data_row rows[DATA_QUEUE_ROWS]; /* their bodies are in bytes */
    uint8_t bytes[DATA_QUEUE_BYTES];
};

/** Copies a row to the end of the queue. @return false: there is no room, and nothing has changed
 */
bool data_queue_add(struct data_queue *queue, const struct data_row *row);
/** The queue is empty again. */
void data_queue_clear(struct data_queue *queue);

#endif
