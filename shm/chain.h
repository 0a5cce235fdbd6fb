/* SPDX-License-Identifier: MIT */
/*
 * A batch's nodes on their way into hash chains, by id or by a unique key: the new
 * nodes are linked to each other and to the chain privately, and logged are
 * the words of attachment. What a bucket will lead to once the batch is in
 * is remembered here, for memory does not say so before the commit point.
 */
#ifndef ROSTERD_SHM_CHAIN_H
#define ROSTERD_SHM_CHAIN_H

#include "shm/log.h"

/** Where the batch remembers the first node of a bucket that it changed: NULL at first. */
static inline struct cds_hlist_node **shm_chain_pending(struct shm_batch *batch,
                                                        const struct cds_hlist_head *bucket)
{
    uint64_t at = (uint64_t)(uintptr_t)bucket;
    for (uint64_t i = at / sizeof(*bucket) % SHM_PENDING;; i = (i + 1) % SHM_PENDING) {
        if (batch->pending[i].stamp != batch->stamp) {
            batch->pending[i].stamp = batch->stamp;
            batch->pending[i].bucket = at;
            batch->pending[i].first = NULL;
        }
        if (batch->pending[i].bucket == at)
            return &batch->pending[i].first;
    }
}

/** What the bucket leads to once the batch, so far, is in. @param pending NULL: nothing is */
static inline struct cds_hlist_node *shm_chain_first(const struct cds_hlist_head *bucket,
                                                     struct cds_hlist_node *const *pending)
{
    return pending != NULL && *pending != NULL ? *pending : bucket->next;
}

/** Logs what cds_hlist_add_head_rcu() will write. @param first as shm_chain_first() gave it */
static inline void shm_chain_log_add(struct shm_txn *txn, struct cds_hlist_head *bucket,
                                     struct cds_hlist_node *first, struct cds_hlist_node *node,
                                     struct cds_hlist_node **pending)
{
    node->next = first;
    node->prev = (struct cds_hlist_node *)bucket;
    if (first != NULL)
        shm_txn_pointer(txn, &first->prev, node);
    shm_txn_pointer(txn, &bucket->next, node);
    if (pending != NULL)
        *pending = node;
}

/** Under the writer lock: whether a node's user is there, or comes in with this batch. (A node of
 * the batch may have any `died`: recycled, it links the free list until the commit.) */
static inline bool shm_chain_lives(const struct shm_node *node)
{
    return node->died == SHM_NEVER || node->born > shm_control()->version;
}

#endif
