/* SPDX-License-Identifier: MIT */
/* Other tables for the same users: what a new owner's configuration asks for. */
#ifndef ROSTERD_SHM_REBUILD_H
#define ROSTERD_SHM_REBUILD_H

#include "shm/internal.h"

/**
 * Whether the tables can be made what config says; changes nothing of the users.
 * @return SHM_EEXIST where users share a key that is to be unique from now on
 */
int shm_rebuild_check(struct shm_store *store, const struct shm_config *config,
                      struct shm_fault *fault);
/**
 * Makes them so, going on where a dead owner left off. By the owner, alone but for readers.
 * @return SHM_ELIMIT, SHM_ESPACE, SHM_EBUSY (the writer lock, or a reader who does not go
 *   offline): the segment is whole, and the next owner goes on
 */
int shm_rebuild(struct shm_store *store, const struct shm_config *config, struct shm_fault *fault);

/** Whether tables are half built: no one but the owner may write then. */
static inline bool shm_rebuild_unfinished(void)
{
    const struct shm_rebuild *rebuild = &shm_control()->rebuild;
    return __atomic_load_n(&rebuild->to.buckets, __ATOMIC_ACQUIRE) != NULL &&
           rebuild->what != SHM_REBUILD_FREE;
}

#endif
