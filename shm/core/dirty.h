/* SPDX-License-Identifier: MIT */
/*
 * The dirty map: which pages writers changed while somebody copies a live segment
 * (live.c). A bit a page, by its number modulo SHM_DIRTY_BITS: where two pages share
 * a bit, both are copied again.
 *
 * control.tracker says whether it is wanted. It is set, and the map is taken, under
 * the writer lock, and every change that a copy must see is made under it: so a
 * transaction asks once, and bits are set by plain stores. Marked are the words that are
 * logged (before they are, so that whoever finishes a dead writer's log
 * need not), the blocks that are being filled, and the feed. A bit is set before its page is
 * written: that a copy misses a change and its bit cannot be.
 */
#ifndef ROSTERD_SHM_CORE_DIRTY_H
#define ROSTERD_SHM_CORE_DIRTY_H

#include <stdbool.h>

#include "shm/core/layout.h"
#include "shm/core/mapping.h"

static inline uint64_t *shm_dirty_map(void)
{
    return (uint64_t *)(uintptr_t)(SHM_BASE + SHM_DIRTY_AT);
}

static inline bool shm_dirty_wanted(void)
{
    return __atomic_load_n(&shm_control()->tracker, __ATOMIC_RELAXED) != 0;
}

/** Under the writer lock: [at, at + size) of the segment is about to change; size is not 0. */
static inline void shm_dirty_mark(const void *at, uint64_t size)
{
    uint64_t offset = (uint64_t)(uintptr_t)at - SHM_BASE;
    for (uint64_t page = offset / SHM_PAGE; page <= (offset + size - 1) / SHM_PAGE; page++) {
        uint64_t bit = page % SHM_DIRTY_BITS;
        shm_dirty_map()[bit / 64] |= UINT64_C(1) << (bit % 64);
    }
}

#endif
