/* SPDX-License-Identifier: MIT */
/* The store's handle, and the segment's mapping at its fixed address. */
#ifndef ROSTERD_SHM_SEGMENT_SEGMENT_MAP_H
#define ROSTERD_SHM_SEGMENT_SEGMENT_MAP_H

#include "shm/error.h"
#include "shm/store.h"

/** A handle for this name, all zero but for that: no file is open, nothing is mapped.
 * @return NULL, and *rc is SHM_EINVAL (the name) or SHM_ESYS (memory). To be freed by free() */
struct shm_store *shm_store_new(const char *name, int *rc, struct shm_fault *fault);
/** Maps store->size bytes of store->fd at SHM_BASE; read-only if store->locked_out.
 * @return SHM_EBASE: something else is mapped there; SHM_ESYS */
int shm_segment_map(struct shm_store *store, struct shm_fault *fault);
void shm_segment_unmap(struct shm_store *store);

#endif
