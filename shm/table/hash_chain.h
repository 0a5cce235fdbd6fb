/* SPDX-License-Identifier: MIT */
/*
 * Inserting the nodes of a batch into hash chains, by id or by a unique key. The new nodes are
 * linked to each other and to the chain privately; only the words that attach them to a bucket are
 * logged. Memory does not show before the commit point what a bucket will point to after the batch,
 * so this header remembers it.
 *
 * The order of a chain: newest first. A node is inserted at the head. Code that removes nodes, or
 * moves a chain to another table, keeps the order of the rest. Sequence numbers therefore decrease,
 * except those of nodes that took the place of an older node of their user (rename.h), and verify
 * checks that. A link that a reader follows obeys the order too, whenever the reader loaded it:
 * every value that a `next` ever has leads to an older node, and a removed node keeps its last
 * value.
 *
 * Therefore, of all nodes with one id, or with one value of a key, one node decides. A user that is
 * created and deleted ten thousand times while a reader delays reclaim costs one look:
 *
 * - Under the writer lock the first node decides. When it was inserted, no other node with its id
 *   was alive, because the insert checked that, and a dead node never becomes alive again. If the
 *   first node is alive, or belongs to this batch, it is the user; if it is dead, there is no such
 *   user. (`born` tells whether a node belongs to this batch: the `died` of a recycled node links
 *   the free list until the commit.)
 * - For a reader of version V the first node that was born at or before V decides. Each node behind
 *   it was dead when it was inserted: died < born <= V, so V does not show it. The nodes in front
 * of it are too young. A node that V shows is linked from before V could be loaded until the reader
 *   goes offline (grace.h). The walk therefore reaches that node, or the deciding node before it:
 *   both are on every path of links, even on a path from a node that was removed while the reader
 *   stood on it. No node that the reader meets can be reused before the reader goes offline.
 *
 * Two users may have had the same key before the key became unique, if one of them was then
 * deleted. A new table of keys therefore contains only live users (rebuild.c), which share no key;
 * every lookup in that table would treat the other users as dead.
 *
 * A dead node's key is the key of its body: all bodies of a node have the same keys, and the newest
 * body stays with the node until both are freed. A user whose key changes gets a new node, and the
 * commit ends the old one: for chains, this is as if the user were deleted and created again.
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

/** The place where the batch remembers the first node of a changed bucket; it contains NULL at
 * first. */
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

/** The first node of the bucket after the part of the batch that is built so far.
 * @param pending from shm_chain_pending(); NULL: the batch has not changed the bucket */
static inline struct cds_hlist_node *shm_chain_first(const struct cds_hlist_head *bucket,
                                                     struct cds_hlist_node *const *pending)
{
    return pending != NULL && *pending != NULL ? *pending : bucket->next;
}

/** Logs the words that cds_hlist_add_head_rcu() will write. @param first from shm_chain_first() */
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

/** Prefetches the newest body of a node that a chain led to; called without the lock. The node may
 * belong to another user by now, or may be under construction. The pointer that is read lies in the
 * arena in any case, and nothing depends on its value. */
static inline void shm_chain_touch_body(const struct shm_node *node)
{
    const struct shm_body *body = __atomic_load_n(&node->body, __ATOMIC_RELAXED);
    __builtin_prefetch(body, 1);
    __builtin_prefetch((const char *)body + SHM_LINE);
}

/** Whether the node's user is alive or is inserted by this batch; called under the writer lock. (A
 * node of the batch may have any `died`: that of a recycled node links the free list until the
 * commit.) */
static inline bool shm_chain_lives(const struct shm_node *node)
{
    return node->died == SHM_NEVER || node->born > shm_control()->version;
}

/** The commit that created the node's user, or 0 if the batch that is being built contains it. */
static inline uint64_t shm_chain_committed(const struct shm_node *node)
{
    return node->born <= shm_control()->version ? node->born : 0;
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
