/* SPDX-License-Identifier: MIT */
/* Frees the memory of bodies, and of deleted users, that no reader needs any more. */
#ifndef ROSTERD_SHM_READERS_RECLAIM_H
#define ROSTERD_SHM_READERS_RECLAIM_H

#include <stddef.h>

#include "shm/store.h"

/** Makes up to `max` steps, each of one block. Takes the writer lock for a few of them at a time.
 * @param steps set to the number of steps made
 * @return SHM_OK; else as shm_writer_lock() */
int shm_reclaim(struct shm_actor *actor, unsigned max, unsigned *steps);
/** Called by a writer, without the lock, after a commit that retired `retired` bodies: reclaims
 * once enough bodies have been retired. */
void shm_reclaim_some(struct shm_actor *actor, size_t retired);

#endif
