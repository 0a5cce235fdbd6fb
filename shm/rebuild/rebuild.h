/* SPDX-License-Identifier: MIT */
/* Rebuilds the tables of a segment for a new owner's configuration. */
#ifndef ROSTERD_SHM_REBUILD_REBUILD_H
#define ROSTERD_SHM_REBUILD_REBUILD_H

#include <stdbool.h>

#include "shm/core/mapping.h"
#include "shm/error.h"
#include "shm/store.h"

/**
 * Makes the tables what config says, and first finishes a dead owner's rebuild. For the owner,
 * while no other process writes; others may read. shm_rebuild_check() must have succeeded.
 * @return SHM_EINVAL (an index is half moved, and there is no key_of), SHM_ELIMIT, SHM_ESPACE,
 *   SHM_EBUSY (the writer lock, or a reader that stays online; the fault names its process): mostly
 *   before any table is changed. After an error the segment is intact and still has every index
 * that it had and that config wants; the next owner continues, with any configuration
 */
int shm_rebuild(struct shm_store *store, const struct shm_config *config, struct shm_fault *fault);

/** Whether a rebuild has begun and not ended: then only the owner may write. (That includes the
 * time in which the last dropped index is freed, because the next owner may want that index again.)
 */
static inline bool shm_rebuild_unfinished(void)
{
    return __atomic_load_n(&shm_control()->rebuild.to.buckets, __ATOMIC_ACQUIRE) != NULL;
}

#endif
