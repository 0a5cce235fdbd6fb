/* SPDX-License-Identifier: MIT */
#include "journal/journal_history.h"

#include <string.h>

#include "base/clock.h"

/* ---- requests ---- */

static struct data_request request_row(const struct shm_request *request)
{
    struct data_request row = {
        .version = request->version, .time = request->time, .fingerprint = request->fingerprint};
    memcpy(row.id, request->id, sizeof(row.id));
    memcpy(row.user, request->user, sizeof(row.user));
    return row;
}

void journal_requests_begin(struct journal_requests *requests, const struct shm_store *store,
                            uint64_t version)
{
    shm_requests_follow(store, &requests->next, version);
    shm_requests_follow(store, &requests->oldest, 0);
}

/* As shm_requests_next(). A request that was forgotten before it was written, because the file was
 * not kept for long, is passed. */
static int next_request(const struct shm_store *store, struct shm_request_place *place,
                        uint64_t version, struct shm_request *request)
{
    int rc;
    while ((rc = shm_requests_next(place, version, request)) == SHM_ERESYNC)
        shm_requests_follow(store, place, 0);
    return rc;
}

static bool is_old(const struct shm_request *request, uint64_t now)
{
    return request->time + SHM_REQUEST_SECONDS <= now;
}

/* Removes those that are older than an hour, or that the segment has forgotten: many at a time, so
 * that a window with few requests is not slower by it. */
static enum data_result forget_requests(struct journal_requests *requests,
                                        const struct shm_store *store, struct data_file *file,
                                        struct fault *fault)
{
    enum { LEAST = 256, MOST = 4096 };
    struct shm_request request;
    struct shm_request_place place = requests->oldest;
    uint64_t now = (uint64_t)clock_real_s(), from = place.next, until = 0;
    while (place.next - from < MOST) {
        struct shm_request_place before = place;
        if (next_request(store, &place, UINT64_MAX, &request) != SHM_OK)
            break;
        if (!is_old(&request, now)) {
            if (place.next - 1 > before.next) /* some were overwritten */
                until = request.version - 1;
            place.next--;
            break;
        }
        until = request.version;
    }
    if (until == 0 || place.next - from < LEAST)
        return DATA_OK;
    requests->oldest = place;
    return data_file_forget_requests(file, until, fault);
}

enum data_result journal_requests_write(struct journal_requests *requests,
                                        const struct shm_store *store, struct data_file *file,
                                        uint64_t version, struct fault *fault)
{
    struct shm_request request;
    enum data_result result = DATA_OK;
    bool any = false;
    while (result == DATA_OK && next_request(store, &requests->next, version, &request) == SHM_OK) {
        const struct data_request row = request_row(&request);
        result = data_file_note_request(file, &row, fault);
        any = true;
    }
    return any && result == DATA_OK ? forget_requests(requests, store, file, fault) : result;
}

/* ---- deletes ---- */

/* Where deletes are noted: in a file, or in a new one. */
struct delete_sink {
    struct data_file *file;
    struct data_rewrite *rewrite;
};

static enum data_result note_delete(const struct delete_sink *sink, const struct shm_change *change,
                                    struct fault *fault)
{
    struct data_deleted row = {.seq = change->seq, .version = change->version};
    memcpy(row.id, change->id, sizeof(row.id));
    return sink->file != NULL ? data_file_note_deleted(sink->file, &row, fault)
                              : data_rewrite_note_deleted(sink->rewrite, &row, fault);
}

/* Notes the deletes that the feed has of the commits after `from`, up to `version`.
 * @return DATA_NONE: it does not have them all */
static enum data_result note_deletes(const struct delete_sink *sink, uint64_t from,
                                     uint64_t version, struct fault *fault)
{
    struct shm_follower follower;
    struct shm_change change;
    enum data_result result = DATA_OK;
    int rc = shm_feed_follow(NULL, &follower, from);
    while (rc == SHM_OK && result == DATA_OK) {
        rc = shm_feed_next_until(&follower, version, &change);
        if (rc == SHM_OK && change.kind == SHM_DELETED)
            result = note_delete(sink, &change, fault);
    }
    return result == DATA_OK && rc != SHM_ENOENT ? DATA_NONE : result;
}

enum data_result journal_note_deletes(const struct shm_store *store, struct data_file *file,
                                      uint64_t former, uint64_t version, struct fault *fault)
{
    const struct delete_sink sink = {.file = file};
    enum data_result result = note_deletes(&sink, former, version, fault);
    uint64_t oldest = shm_feed_oldest(store);
    if (result == DATA_NONE && oldest < version) {
        result = data_file_forget_deleted(file, oldest, fault);
        if (result == DATA_OK)
            result = note_deletes(&sink, oldest, version, fault);
    }
    return result == DATA_NONE ? data_file_forget_deleted(file, version, fault) : result;
}

/* What follows a table's copy may have overwritten the feed meanwhile: then nothing is known. */
static enum data_result rewrite_deletes(const struct shm_store *store, struct data_rewrite *rewrite,
                                        uint64_t version, struct fault *fault)
{
    const struct delete_sink sink = {.rewrite = rewrite};
    uint64_t oldest = shm_feed_oldest(store);
    enum data_result result =
        oldest < version ? note_deletes(&sink, oldest, version, fault) : DATA_NONE;
    if (result != DATA_OK && result != DATA_NONE)
        return result;
    data_rewrite_set_feed(rewrite, result == DATA_OK ? oldest : version);
    return DATA_OK;
}

enum data_result journal_rewrite_history(const struct shm_store *store,
                                         struct data_rewrite *rewrite, uint64_t version,
                                         struct fault *fault)
{
    struct shm_request_place place;
    struct shm_request request;
    enum data_result result = rewrite_deletes(store, rewrite, version, fault);
    shm_requests_follow(store, &place, 0);
    while (result == DATA_OK && next_request(store, &place, version, &request) == SHM_OK) {
        const struct data_request row = request_row(&request);
        result = data_rewrite_note_request(rewrite, &row, fault);
    }
    return result;
}
