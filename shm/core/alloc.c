/* SPDX-License-Identifier: MIT */
/* Size classes: 16-byte steps to 512, then 64 to 1024, 128 to 2048, 256 to 4096. */
#include "shm/core/alloc.h"

#include <assert.h>

#include "shm/core/dirty.h"

static uint64_t *first_word(uint64_t block)
{
    return (uint64_t *)(uintptr_t)block;
}

unsigned shm_class_of(uint64_t size)
{
    if (size <= 512)
        return size == 0 ? 0 : (unsigned)((size - 1) / 16);
    if (size <= 1024)
        return 32 + (unsigned)((size - 513) / 64);
    if (size <= 2048)
        return 40 + (unsigned)((size - 1025) / 128);
    return 48 + (unsigned)((size - 2049) / 256);
}

uint64_t shm_class_size(unsigned class)
{
    if (class < 32)
        return 16 * ((uint64_t) class + 1);
    if (class < 40)
        return 512 + 64 * ((uint64_t) class - 31);
    if (class < 48)
        return 1024 + 128 * ((uint64_t) class - 39);
    return 2048 + 256 * ((uint64_t) class - 47);
}

uint64_t shm_alloc_extents(struct shm_txn *txn, uint64_t bytes)
{
    uint64_t at = shm_alloc_get(txn, SHM_ALLOC_ARENA_CUR);
    if (at + bytes > shm_control()->arena_end)
        return 0;
    shm_alloc_set(txn, SHM_ALLOC_ARENA_CUR, at + bytes);
    return at;
}

/* Puts [at, end), which is free, on the free lists, so that no byte is lost. No other process can
 * reach this memory before the commit, so the links in it need not be logged. */
static void free_rest(struct shm_txn *txn, uint64_t at, uint64_t end)
{
    while (at < end) {
        uint64_t rest = end - at;
        unsigned class = rest >= 4096 ? SHM_CLASSES - 1 : shm_class_of(rest);
        if (class != 0 && shm_class_size(class) > rest)
            class --;
        if (txn->tracked)
            shm_dirty_mark(first_word(at), sizeof(uint64_t));
        *first_word(at) = shm_alloc_get(txn, class);
        shm_alloc_set(txn, class, at);
        at += shm_class_size(class);
    }
}

/* Finds room for `size` bytes in the current extent or in a new one.
 * @return its address, where CUR is now; 0: the arena is used up */
static uint64_t extent_room(struct shm_txn *txn, uint64_t size)
{
    uint64_t at = shm_alloc_get(txn, SHM_ALLOC_CUR);
    uint64_t end = shm_alloc_get(txn, SHM_ALLOC_END);
    if (end - at >= size)
        return at;
    uint64_t extent = shm_alloc_extents(txn, SHM_EXTENT);
    if (extent == 0)
        return 0;
    if (extent != end) {
        free_rest(txn, at, end);
        at = extent;
    }
    shm_alloc_set(txn, SHM_ALLOC_END, extent + SHM_EXTENT);
    return at;
}

static struct shm_node *take_node(struct shm_txn *txn, bool *recycled)
{
    uint64_t used = shm_alloc_get(txn, SHM_ALLOC_BYTES_USED) + sizeof(struct shm_node);
    struct shm_node *node = (struct shm_node *)(uintptr_t)shm_alloc_get(txn, SHM_ALLOC_NODE_FREE);
    *recycled = node != NULL;
    if (node != NULL) {
        shm_alloc_set(txn, SHM_ALLOC_NODE_FREE, node->died);
    } else {
        uint64_t at = extent_room(txn, sizeof(*node));
        if (at == 0)
            return NULL;
        shm_alloc_set(txn, SHM_ALLOC_CUR, at + sizeof(*node));
        node = (struct shm_node *)(uintptr_t)at;
    }
    shm_alloc_set(txn, SHM_ALLOC_BYTES_USED, used);
    return node;
}

struct shm_node *shm_alloc_node(struct shm_txn *txn, bool *recycled)
{
    struct shm_node *node = take_node(txn, recycled);
    if (node != NULL && txn->tracked)
        shm_dirty_mark(node, sizeof(*node));
    return node;
}

/* Splits a larger free block: its front serves the class, its rest becomes free blocks of other
 * classes with the commit. Until then the block is still on its free list, which needs its first
 * word only; that word stays as it is. @return the block; 0: there is no larger free block */
static uint64_t split_larger(struct shm_txn *txn, unsigned class)
{
    uint64_t bytes = shm_class_size(class);
    while (++class < SHM_CLASSES) {
        uint64_t block = shm_alloc_get(txn, class);
        if (block == 0)
            continue;
        shm_alloc_set(txn, class, *first_word(block));
        free_rest(txn, block + bytes, block + shm_class_size(class));
        return block;
    }
    return 0;
}

void *shm_alloc_block(struct shm_txn *txn, uint64_t size)
{
    assert(size != 0 && size <= SHM_BLOCK_MAX);
    unsigned class = shm_class_of(size);
    uint64_t bytes = shm_class_size(class);
    uint64_t block = shm_alloc_get(txn, class);
    if (block != 0) {
        shm_alloc_set(txn, class, *first_word(block));
    } else {
        block = extent_room(txn, bytes);
        if (block != 0)
            shm_alloc_set(txn, SHM_ALLOC_CUR, block + bytes);
        else if (txn->at_bound)
            block = split_larger(txn, class);
        if (block == 0)
            return NULL;
    }
    if (txn->tracked)
        shm_dirty_mark((void *)(uintptr_t)block, bytes);
    shm_alloc_set(txn, SHM_ALLOC_BYTES_USED, shm_alloc_get(txn, SHM_ALLOC_BYTES_USED) + bytes);
    return (void *)(uintptr_t)block;
}

static void count_freed(struct shm_txn *txn, uint64_t bytes)
{
    shm_alloc_set(txn, SHM_ALLOC_BYTES_USED, shm_alloc_get(txn, SHM_ALLOC_BYTES_USED) - bytes);
}

void shm_free_node(struct shm_txn *txn, struct shm_node *node)
{
    shm_txn_word(txn, &node->died, shm_alloc_get(txn, SHM_ALLOC_NODE_FREE));
    shm_alloc_set(txn, SHM_ALLOC_NODE_FREE, (uint64_t)(uintptr_t)node);
    count_freed(txn, sizeof(*node));
}

void shm_free_block(struct shm_txn *txn, void *block, uint64_t size)
{
    unsigned class = shm_class_of(size);
    shm_txn_word(txn, block, shm_alloc_get(txn, class));
    shm_alloc_set(txn, class, (uint64_t)(uintptr_t)block);
    count_freed(txn, shm_class_size(class));
}
