/* SPDX-License-Identifier: MIT */
/*
 * The dirty map: the pages that writers have changed while a tool copies the live segment (live.c).
 * It has one bit per page, by the page's number modulo SHM_DIRTY_BITS. If two pages share a bit,
 * both are copied again.
 *
 * control.tracker tells whether a tool needs the map. The tool sets it, and reads the map, under
 * the writer lock, and every change that a copy must contain is made under the same lock. So a
 * transaction checks control.tracker once, and sets bits by plain stores.
 *
 * Writers mark the words that they log, the blocks that they fill and the feed's entries. They mark
 * a page before they write to it, so a copy cannot miss both a change and its bit. Logged words are
 * marked before they are logged, so the process that finishes a dead writer's log need not do it.
 */
#ifndef ROSTERD_SHM_CORE_DIRTY_H
#define ROSTERD_SHM_CORE_DIRTY_H

#include <assert.h>
#include <stdbool.h>

#include "shm/core/layout.h"
#include "shm/core/mapping.h"

static inline uint64_t *shm_dirty_map(void)
{
    return (uint64_t *)(uintptr_t)(SHM_BASE + SHM_DIRTY_AT);
}

/** Whether a tool copies the segment, so that changes must be marked. */
static inline bool shm_dirty_wanted(void)
{
    return __atomic_load_n(&shm_control()->tracker, __ATOMIC_RELAXED) != 0;
}

/** Marks the pages of [at, at + size), which is about to change. Under the writer lock; size is not
 * 0. */
static inline void shm_dirty_mark(const void *at, uint64_t size)
{
    uint64_t offset = (uint64_t)(uintptr_t)at - SHM_BASE;
    assert(size != 0);
    for (uint64_t page = offset / SHM_PAGE; page <= (offset + size - 1) / SHM_PAGE; page++) {
        uint64_t bit = page % SHM_DIRTY_BITS;
        shm_dirty_map()[bit / 64] |= UINT64_C(1) << (bit % 64);
    }
}

#endif
