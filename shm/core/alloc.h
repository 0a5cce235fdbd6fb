/* SPDX-License-Identifier: MIT */
/*
 * The arena's allocator. Its whole state is the 64 words control.alloc. A transaction changes its
 * private copy of them, so an allocation whose transaction does not commit has not happened.
 *
 * Nodes and blocks (bodies, towers) fill extents from the front, in the order of allocation. So a
 * user's first body lies behind its node, and users created in sequence lie in sequence. A freed
 * node or block goes to the free list of its size class; allocations are served from there first.
 */
#ifndef ROSTERD_SHM_CORE_ALLOC_H
#define ROSTERD_SHM_CORE_ALLOC_H

#include <stdbool.h>

#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/core/txn.h"
#include "shm/store.h"

enum { SHM_BLOCK_MAX = 4096 };
_Static_assert(sizeof(struct shm_body) + SHM_BODY_MAX <= SHM_BLOCK_MAX, "a body is one block");
_Static_assert(sizeof(struct shm_tower) + SHM_LEVELS * sizeof(void *) <= SHM_BLOCK_MAX,
               "a tower is one block");

/** The size class of a block of 1 to 4096 bytes. */
unsigned shm_class_of(uint64_t size);
/** The bytes that a block of this class takes. */
uint64_t shm_class_size(unsigned class);

/** Reads a word of the allocator (enum shm_alloc_word) as the transaction has it. */
static inline uint64_t shm_alloc_get(struct shm_txn *txn, unsigned word)
{
    uint64_t bit = UINT64_C(1) << word;
    if ((txn->loaded & bit) == 0) {
        txn->alloc[word] = shm_control()->alloc[word];
        txn->loaded |= bit;
    }
    return txn->alloc[word];
}

/** Changes a word of the allocator in the transaction. */
static inline void shm_alloc_set(struct shm_txn *txn, unsigned word, uint64_t value)
{
    uint64_t bit = UINT64_C(1) << word;
    txn->alloc[word] = value;
    txn->loaded |= bit;
    txn->dirty |= bit;
}

/** Allocates a node.
 * @param recycled set: the node comes from the free list. Until the commit its `died` is a link of
 *   that list: the caller must log the new value, not write it
 * @return NULL: the arena has to grow */
struct shm_node *shm_alloc_node(struct shm_txn *txn, bool *recycled);
/** Allocates a block of at least this size, 1 to 4096 bytes. The caller must not write its first
 * word, `link`. @return NULL: the arena has to grow */
void *shm_alloc_block(struct shm_txn *txn, uint64_t size);

/** Takes consecutive extents that were never used; what they hold is undefined.
 * @param bytes whole extents
 * @return their address; 0: the arena has to grow */
uint64_t shm_alloc_extents(struct shm_txn *txn, uint64_t bytes);

/** Frees a node, or a block; `size` as in shm_alloc_block(). */
void shm_free_node(struct shm_txn *txn, struct shm_node *node);
void shm_free_block(struct shm_txn *txn, void *block, uint64_t size);

#endif
