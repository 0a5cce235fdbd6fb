/* SPDX-License-Identifier: MIT */
#include "journal/history_rows.h"

#include <stdlib.h>
#include <string.h>

/* Room for one more element. @return NULL: there is no memory; the old array stays */
static void *room_for_one(void *array, size_t count, size_t *room, size_t size)
{
    enum { LEAST = 256 };
    if (count < *room)
        return array;
    size_t more = *room != 0 ? 2 * *room : LEAST;
    void *larger = reallocarray(array, more, size);
    if (larger != NULL)
        *room = more;
    return larger;
}

static bool keep_deleted(void *data, const struct data_deleted *deleted)
{
    struct history_rows *history = data;
    struct shm_change *rows =
        room_for_one(history->deleted, history->num_deleted, &history->deleted_room, sizeof(*rows));
    if (rows == NULL)
        return false;
    history->deleted = rows;
    struct shm_change *change = &rows[history->num_deleted++];
    *change =
        (struct shm_change){.version = deleted->version, .kind = SHM_DELETED, .seq = deleted->seq};
    memcpy(change->id, deleted->id, sizeof(change->id));
    return true;
}

static bool keep_request(void *data, const struct data_request *request)
{
    struct history_rows *history = data;
    struct shm_request *rows = room_for_one(history->requests, history->num_requests,
                                            &history->requests_room, sizeof(*rows));
    if (rows == NULL)
        return false;
    history->requests = rows;
    struct shm_request *kept = &rows[history->num_requests++];
    *kept = (struct shm_request){
        .time = request->time, .fingerprint = request->fingerprint, .version = request->version};
    memcpy(kept->id, request->id, sizeof(kept->id));
    memcpy(kept->user, request->user, sizeof(kept->user));
    return true;
}

enum data_result history_rows_read(struct history_rows *history, struct data_rows *rows,
                                   struct fault *fault)
{
    const struct data_history_reader reader = {
        .deleted = keep_deleted, .request = keep_request, .data = history};
    return data_rows_history(rows, &reader, fault);
}

void history_rows_free(struct history_rows *history)
{
    free(history->deleted);
    free(history->requests);
    *history = (struct history_rows){0};
}
