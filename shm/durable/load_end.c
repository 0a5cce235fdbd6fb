/* SPDX-License-Identifier: MIT */
/* The end of loading a table into a new segment; write/load_users.c has the loading. */
#include <string.h>
#include <sys/param.h>

#include "shm/core/actor_handle.h"
#include "shm/core/mapping.h"
#include "shm/core/store_handle.h"
#include "shm/core/txn.h"
#include "shm/core/writer_lock.h"
#include "shm/disk.h"
#include "shm/segment/check.h"

/* The feed has no entry. Its head is moved on, because it counts at least as far as the versions
 * and the sequence numbers; a follower of an older version has to read the whole table. */
static void log_load_end(struct shm_txn *txn, uint64_t version, uint64_t seq)
{
    struct shm_control *control = shm_control();
    uint64_t feed = MAX(version, seq);
    shm_txn_word(txn, &control->seq, seq);
    shm_txn_word(txn, &control->feed_head, feed);
    shm_txn_word(txn, &control->feed_first, feed);
    shm_txn_word(txn, &control->feed_from, version);
    shm_txn_word(txn, &control->disk.version, version);
    shm_txn_word(txn, &control->disk.feed, feed);
    shm_txn_word(txn, &control->disk.users, control->users);
    shm_txn_word(txn, &control->published, version);
}

int shm_load_store_id(struct shm_store *store, const uint8_t id[SHM_STORE_ID_SIZE])
{
    struct shm_header *header = shm_header();
    if (!store->filling)
        return SHM_EINVAL;
    memcpy(header->store_id, id, sizeof(header->store_id));
    shm_header_fill(header);
    return SHM_OK;
}

int shm_load_end(struct shm_actor *actor, uint64_t version, uint64_t seq)
{
    const struct shm_control *control = shm_control();
    struct shm_txn *txn = &actor->txn;
    int rc = shm_writer_wait(actor->store);
    if (rc != SHM_OK)
        return rc;
    if (control->version != 0 || version < control->feed_from || seq < control->seq ||
        version >= SHM_COUNT_MAX || seq >= SHM_COUNT_MAX) {
        rc = SHM_EINVAL;
    } else {
        txn->at_bound = false;
        shm_txn_begin(txn);
        log_load_end(txn, version, seq);
        shm_txn_seal(txn, version);
        shm_txn_apply(txn);
    }
    shm_writer_unlock();
    return rc;
}
