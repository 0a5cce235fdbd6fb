/* SPDX-License-Identifier: MIT */
/* The data file's deletes and requests in memory, for a start that loads them. */
#ifndef ROSTERD_JOURNAL_HISTORY_ROWS_H
#define ROSTERD_JOURNAL_HISTORY_ROWS_H

#include <stddef.h>

#include "journal/data_file.h"
#include "shm/store.h"

/** Zeroed: empty. */
struct history_rows {
    struct shm_change *deleted;   /* by version */
    struct shm_request *requests; /* by version */
    size_t num_deleted, num_requests;
    size_t deleted_room, requests_room;
};

/** Reads both tables: data_rows_history(). After a failure the struct is to be freed, too. */
enum data_result history_rows_read(struct history_rows *history, struct data_rows *rows,
                                   struct fault *fault);
void history_rows_free(struct history_rows *history);

#endif
