/* SPDX-License-Identifier: MIT */
/* A new, empty segment. */
#ifndef ROSTERD_SHM_LIFECYCLE_SEGMENT_CREATE_H
#define ROSTERD_SHM_LIFECYCLE_SEGMENT_CREATE_H

#include "shm/error.h"
#include "shm/store.h"

/** Creates, maps and publishes the segment; on failure nothing is left of it.
 * @return as shm_store_open(); SHM_EEXIST: another file got the name meanwhile */
int shm_segment_create(struct shm_store *store, const struct shm_config *config,
                       struct shm_fault *fault);

#endif
