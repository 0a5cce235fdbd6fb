/* SPDX-License-Identifier: MIT */
/* Other tables for the same users: what a new owner's configuration asks for. */
#ifndef ROSTERD_SHM_REBUILD_REBUILD_H
#define ROSTERD_SHM_REBUILD_REBUILD_H

#include <stdbool.h>

#include "shm/core/mapping.h"
#include "shm/error.h"
#include "shm/store.h"

/**
 * Makes them so, going on where a dead owner left off. By the owner, alone but for readers. An
 * index that is not wanted any more goes last.
 * @return SHM_EINVAL (an index is half moved, and there is no key_of), SHM_ELIMIT, SHM_ESPACE,
 *   SHM_EBUSY (the writer lock, or a reader who does not go offline; its process is named): mostly
 *   before any table is touched. Whatever was done, the segment is whole, has every index that it
 *   had and that config wants, and the next owner goes on, whatever tables he wants
 */
int shm_rebuild(struct shm_store *store, const struct shm_config *config, struct shm_fault *fault);

/** Whether a rebuild has begun and not ended: no one but the owner may write then. (Also while
 * the last table is freed: its index is gone, and the next owner may want it again.) */
static inline bool shm_rebuild_unfinished(void)
{
    return __atomic_load_n(&shm_control()->rebuild.to.buckets, __ATOMIC_ACQUIRE) != NULL;
}

#endif
