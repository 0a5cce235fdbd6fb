/* SPDX-License-Identifier: MIT */
/*
 * A batch's nodes on their way into hash chains, by id or by a unique key: the new
 * nodes are linked to each other and to the chain privately, and logged are
 * the words of attachment. What a bucket will lead to once the batch is in
 * is remembered here, for memory does not say so before the commit point.
 *
 * The order of a chain: sequence numbers fall. A node comes in at the head, with a number above
 * all others; who takes nodes out, or moves a chain to another table, leaves the rest in order;
 * and verify checks it. A link that a reader follows obeys it too, whenever he loaded it: every
 * value that a `next` ever has leads to an older node, and a node that was taken out keeps its last
 * one.
 *
 * So of the nodes with one id, or with one value of a key, one decides for all, and a user who
 * comes and goes ten thousand times behind a reader who holds up reclaim costs one look:
 *
 * - Under the writer lock it is the first. When it came in, no other with its id was alive, for the
 *   insert looked; and a dead one never lives again. So if it is alive, or of this batch, it is the
 *   one; if it is dead, there is none. (Of the batch is told by `born`: a recycled node's `died`
 *   links the free list until the commit.)
 * - For a reader of version V it is the first that was born at or before V. Each behind it was dead
 *   when it came in: died < born <= V, so V does not show it. Those in front of it are too young.
 *   A node that V shows is linked from before V could be loaded until the reader goes offline
 *   (grace.h), so the walk comes to it, or to who decides before it: both are on every path of
 * links, also from a node that was taken out while he stood on it. And none of those that he meets
 * can be used for another user before he goes offline.
 *
 * Before a table of keys was made, two users may have had one key, and the younger was deleted. So
 * only the living are put into a new table (rebuild.c), who share none; to all who look
 * for a key there, the others are dead.
 *
 * A dead node's key is its body's: all bodies of a node have the same keys, and the newest stays
 * with the node until both are free.
 */
#ifndef ROSTERD_SHM_TABLE_CHAIN_H
#define ROSTERD_SHM_TABLE_CHAIN_H

#include <stdbool.h>
#include <string.h>

#include "base/container_of.h"
#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/core/test_points.h"
#include "shm/core/txn.h"
#include "shm/core/write_batch.h"
#include "shm/store.h"

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

/** Without the lock: asks for the newest body of a node that a chain led to. The node may be
 * another user's by now, or be built just now; what is read is memory of the arena all the same,
 * and nothing follows from it. */
static inline void shm_chain_touch_body(const struct shm_node *node)
{
    const struct shm_body *body = __atomic_load_n(&node->body, __ATOMIC_RELAXED);
    __builtin_prefetch(body, 1);
    __builtin_prefetch((const char *)body + SHM_LINE);
}

/** Under the writer lock: whether a node's user is there, or comes in with this batch. (A node of
 * the batch may have any `died`: recycled, it links the free list until the commit.) */
static inline bool shm_chain_lives(const struct shm_node *node)
{
    return node->died == SHM_NEVER || node->born > shm_control()->version;
}

/** Under the writer lock: the youngest node with this id from `first` of a chain on, or NULL. It
 * decides for all nodes with the id, as explained above. */
static inline struct shm_node *shm_chain_find_id(const struct cds_hlist_node *first,
                                                 const uint8_t id[SHM_ID_SIZE])
{
    for (const struct cds_hlist_node *at = first; at != NULL; at = at->next) {
        struct shm_node *node = container_of(at, struct shm_node, by_id);
        SHM_POINT("compared");
        if (memcmp(node->id, id, SHM_ID_SIZE) == 0)
            return node;
    }
    return NULL;
}

#endif
