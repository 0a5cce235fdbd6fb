/* SPDX-License-Identifier: MIT */
/* A process's handle of the segment that it has mapped. */
#ifndef ROSTERD_SHM_CORE_STORE_HANDLE_H
#define ROSTERD_SHM_CORE_STORE_HANDLE_H

#include <stdbool.h>

#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/store.h"

struct shm_store {
    int fd;
    bool owner;      /* has the owner lock, which forked children share */
    bool readonly;   /* the arena is mapped read-only: a reading tool */
    bool locked_out; /* everything is mapped read-only, without the right to write: no slot, no lock
                      */
    bool filling;    /* shm_config.fill runs: nobody else has the segment */
    shm_key_of *key_of;
    uint64_t size; /* bytes mapped from SHM_BASE */
    char name[256];
};

/** Whether the arena has grown beyond what this process has mapped, because a later owner raised
 * the segment's limit. */
static inline bool shm_outgrown(const struct shm_store *store)
{
    const struct shm_control *control = shm_control();
    uint64_t end = __atomic_load_n(&control->arena_end, __ATOMIC_RELAXED) - SHM_BASE;
    return end > store->size && end <= __atomic_load_n(&control->limit, __ATOMIC_RELAXED);
}

#endif
