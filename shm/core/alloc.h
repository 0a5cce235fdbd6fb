/* SPDX-License-Identifier: MIT */
/*
 * The arena's allocator. Its whole state is 64 words in the control page,
 * changed through the transaction's copy: an allocation that does not commit
 * never happened. Nodes and blocks (bodies, towers) fill extents from the
 * front as they come, so that a user's first body lies behind its node, and users created in
 * sequence lie in sequence; what is freed goes to a list by size and is taken from there first.
 */
#ifndef ROSTERD_SHM_CORE_ALLOC_H
#define ROSTERD_SHM_CORE_ALLOC_H

#include <stdbool.h>

#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/core/txn.h"

/** The class of a block of this size, 1 to 4096 bytes. */
unsigned shm_class_of(uint64_t size);
uint64_t shm_class_size(unsigned class);

static inline uint64_t shm_alloc_get(struct shm_txn *txn, unsigned word)
{
    uint64_t bit = UINT64_C(1) << word;
    if ((txn->loaded & bit) == 0) {
        txn->alloc[word] = shm_control()->alloc[word];
        txn->loaded |= bit;
    }
    return txn->alloc[word];
}

static inline void shm_alloc_set(struct shm_txn *txn, unsigned word, uint64_t value)
{
    uint64_t bit = UINT64_C(1) << word;
    txn->alloc[word] = value;
    txn->loaded |= bit;
    txn->dirty |= bit;
}

/** @return NULL where the arena has to grow. `recycled`: died must be logged, not written,
 * since it links the free list until the commit. */
struct shm_node *shm_alloc_node(struct shm_txn *txn, bool *recycled);
/** A block of at least this size. Its first word must not be written. NULL as above. */
void *shm_alloc_block(struct shm_txn *txn, uint64_t size);

/** Gives a node or a block (of the size that it was asked for) back. */
void shm_free_node(struct shm_txn *txn, struct shm_node *node);
void shm_free_block(struct shm_txn *txn, void *block, uint64_t size);

#endif
