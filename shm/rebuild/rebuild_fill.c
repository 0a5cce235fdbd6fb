/* SPDX-License-Identifier: MIT */
/* A new index of a key is filled from the order list. It is in use only when it has all users.
 *
 * It has the users of the newest commit, by the keys that they have now. Readers may see an older
 * commit, if a journal publishes (publication.h), and in that one a user may have had another key,
 * or somebody was there who is deleted. `index_from` tells them to search the order list until the
 * commit is published: lookup.c. */
#include "shm/rebuild/rebuild_fill.h"

#include "base/container_of.h"
#include "shm/core/dirty.h"
#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/core/txn.h"
#include "shm/error.h"
#include "shm/store.h"
#include "shm/table/hash_chain.h"
#include "shm/table/tower.h"
#include "shm/table/unique.h"

/* Logs the insertion of up to SHM_BATCH_MAX nodes, from `at` on. The nodes of one number belong to
 * one user, and stay together, because the next step starts with another number: then a step has a
 * few more, of which at most one is not deleted. @return where the next step starts */
static const struct cds_list_head *log_users(struct rebuild *r, unsigned key,
                                             const struct cds_list_head *at)
{
    const struct cds_list_head *end = &shm_control()->order;
    const struct shm_table to = rebuild_state()->to;
    uint64_t seq = rebuild_state()->done;
    r->batch.stamp++;
    for (size_t n = 0; at != end; n++, at = at->next) {
        uint8_t bytes[SHM_KEY_MAX];
        struct shm_node *node =
            container_of((struct cds_list_head *)(uintptr_t)at, struct shm_node, order);
        if (n >= SHM_BATCH_MAX && node->seq != seq)
            break;
        uint32_t len = shm_unique_key(r->config->key_of, key, node->body, bytes);
        if (r->txn.tracked)
            shm_dirty_mark(&node->unique[key], sizeof(node->unique[key]));
        seq = node->seq;
        if (len == 0 || node->died != SHM_NEVER) { /* deleted users stay out: hash_chain.h */
            node->unique[key] = (struct cds_hlist_node){0};
            continue;
        }
        struct cds_hlist_head *bucket =
            shm_unique_bucket(&to, shm_unique_hash(shm_header(), key, bytes, len));
        struct cds_hlist_node **pending = shm_chain_pending(&r->batch, bucket);
        shm_chain_log_add(&r->txn, bucket, shm_chain_first(bucket, pending), &node->unique[key],
                          pending);
    }
    shm_txn_word(&r->txn, &rebuild_state()->done, seq);
    return at;
}

int rebuild_fill(struct rebuild *r, unsigned key)
{
    const struct cds_list_head *end = &shm_control()->order;
    uint64_t done = rebuild_state()->done;
    const struct shm_node *from = shm_tower_find(done);
    const struct cds_list_head *at = from != NULL ? &from->order : end->next;
    while (at != end && container_of(at, struct shm_node, order)->seq <= done)
        at = at->next;
    int rc = SHM_OK;
    while (rc == SHM_OK && at != end) {
        rc = rebuild_begin(r);
        if (rc != SHM_OK)
            return rc;
        at = log_users(r, key, at);
        rebuild_commit(r);
        rebuild_tell(r, "building a unique index", rebuild_state()->done, shm_control()->seq);
    }
    if (rc == SHM_OK)
        rc = rebuild_begin(r);
    if (rc != SHM_OK)
        return rc;
    const struct shm_table to = rebuild_state()->to;
    rebuild_log_table(r, rebuild_table(key), &to);
    shm_txn_word(&r->txn, &shm_control()->index_from[key], shm_control()->version);
    rebuild_log_state(r, NULL, 0, 0);
    rebuild_commit(r);
    return SHM_OK;
}
