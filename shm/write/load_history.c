/* SPDX-License-Identifier: MIT */
/* What a new segment learns of the commits before its load, besides the users: the changes of the
 * feed, and the requests that were done. Nobody else knows the segment yet, so that what is not
 * logged here is lost with it. */
#include "shm/core/actor_handle.h"
#include "shm/core/mapping.h"
#include "shm/core/txn.h"
#include "shm/core/writer_lock.h"
#include "shm/disk.h"
#include "shm/table/feed.h"
#include "shm/table/requests.h"
#include "shm/write/make_room.h"

_Static_assert((int)SHM_CHANGES_MAX == SHM_FEED_SIZE - SHM_BATCH_MAX, "the entries that are kept");

/* ---- changes ---- */

static bool changes_fit(const struct shm_change *changes, size_t count, uint64_t from)
{
    const struct shm_control *control = shm_control();
    uint64_t last = from;
    if (control->feed_head != control->feed_first || control->version != control->feed_from ||
        count > SHM_CHANGES_MAX || from > control->version)
        return false;
    for (size_t i = 0; i < count; last = changes[i].version, i++)
        if (changes[i].version < last || changes[i].version == from ||
            changes[i].version > control->version || changes[i].seq > control->seq ||
            (changes[i].kind != SHM_UPDATED && changes[i].kind != SHM_DELETED))
            return false;
    return last == control->version;
}

static void log_changes(struct shm_txn *txn, const struct shm_change *changes, size_t count,
                        uint64_t from)
{
    struct shm_control *control = shm_control();
    for (size_t i = 0; i < count; i++)
        shm_feed_write(control->feed_head + i, changes[i].version, changes[i].kind, changes[i].seq,
                       changes[i].id);
    shm_txn_word(txn, &control->feed_head, control->feed_head + count);
    shm_txn_word(txn, &control->disk.feed, control->feed_head + count);
    shm_txn_word(txn, &control->feed_from, from);
    shm_txn_word(txn, &control->feed_rebuilt, count != 0 ? control->version : 0);
}

int shm_load_feed(struct shm_actor *actor, const struct shm_change *changes, size_t count,
                  uint64_t from)
{
    struct shm_txn *txn = &actor->txn;
    int rc = shm_writer_wait(actor->store);
    if (rc != SHM_OK)
        return rc;
    if (changes_fit(changes, count, from)) {
        txn->at_bound = false;
        shm_txn_begin(txn);
        log_changes(txn, changes, count, from);
        shm_txn_seal(txn, 0);
        shm_txn_apply(txn);
    } else {
        rc = SHM_EINVAL;
    }
    shm_writer_unlock();
    return rc;
}

/* ---- requests ---- */

/* Under the writer lock. @return as shm_requests_admit(); SHM_EINVAL: it is out of order */
static int load_request(struct shm_actor *actor, const struct shm_request *request, uint64_t after)
{
    struct shm_conflict ignored;
    struct shm_request copy = *request;
    struct shm_txn *txn = &actor->txn;
    if (request->version <= after || request->version > shm_control()->version)
        return SHM_EINVAL;
    int rc = shm_requests_admit(actor, &copy, &ignored);
    if (rc != SHM_OK && rc != SHM_EREPEAT) /* it was forgotten before it was done again */
        return rc;
    shm_txn_begin(txn);
    shm_requests_log(actor, request, request->user, request->version);
    shm_txn_seal(txn, 0);
    shm_txn_apply(txn);
    return SHM_OK;
}

static int load_requests(struct shm_actor *actor, const struct shm_request *requests, size_t count,
                         size_t *done)
{
    int rc = shm_writer_wait(actor->store);
    if (rc != SHM_OK)
        return rc;
    for (; *done < count && rc == SHM_OK; *done += rc == SHM_OK)
        rc = load_request(actor, &requests[*done], *done > 0 ? requests[*done - 1].version : 0);
    shm_writer_unlock();
    return rc;
}

int shm_load_requests(struct shm_actor *actor, const struct shm_request *requests, size_t count)
{
    unsigned tries = 0;
    size_t done = 0;
    int rc;
    actor->txn.at_bound = false;
    do {
        rc = load_requests(actor, requests, count, &done);
        if (rc != SHM_ESPACE)
            return rc;
        rc = shm_make_room(actor, &tries);
    } while (rc == SHM_OK);
    return rc;
}
