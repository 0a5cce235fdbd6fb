/* SPDX-License-Identifier: MIT */
/* What a writer does when the allocator has found no memory. */
#ifndef ROSTERD_SHM_WRITE_MAKE_ROOM_H
#define ROSTERD_SHM_WRITE_MAKE_ROOM_H

#include "shm/store.h"

/** Grows the arena or, at its bound, frees what no reader needs any more. Without the writer lock.
 * @param tries 0 before a write's first call; counts its tries
 * @return SHM_OK: try the write again; SHM_ELIMIT, SHM_ESPACE, SHM_EBUSY, SHM_ESYS */
int shm_make_room(struct shm_actor *actor, unsigned *tries);

#endif
