/* SPDX-License-Identifier: MIT */
/* Access to the parts of the segment by their fixed addresses. The segment must be mapped. */
#ifndef ROSTERD_SHM_CORE_MAPPING_H
#define ROSTERD_SHM_CORE_MAPPING_H

#include "shm/core/layout.h"

static inline struct shm_header *shm_header(void)
{
    return (struct shm_header *)(uintptr_t)SHM_BASE;
}

static inline struct shm_control *shm_control(void)
{
    return (struct shm_control *)(uintptr_t)(SHM_BASE + SHM_CONTROL_AT);
}

static inline struct shm_log *shm_log(void)
{
    return (struct shm_log *)(uintptr_t)(SHM_BASE + SHM_LOG_AT);
}

/** The change feed's ring, SHM_FEED_SIZE entries. */
static inline struct shm_feed_entry *shm_feed(void)
{
    return (struct shm_feed_entry *)(uintptr_t)(SHM_BASE + SHM_FEED_AT);
}

/** Slot i. Only those below shm_slots_ready() have memory. */
static inline struct shm_slot *shm_slot(unsigned i)
{
    return (struct shm_slot *)(uintptr_t)(SHM_BASE + SHM_SLOTS_AT) + i;
}

#endif
