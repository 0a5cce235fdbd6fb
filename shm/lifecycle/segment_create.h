/* SPDX-License-Identifier: MIT */
/* A new, empty segment. */
#ifndef ROSTERD_SHM_LIFECYCLE_SEGMENT_CREATE_H
#define ROSTERD_SHM_LIFECYCLE_SEGMENT_CREATE_H

#include <stdbool.h>

#include "shm/error.h"
#include "shm/store.h"

/** Creates, maps, loads and publishes the segment; on failure nothing is left of it.
 * @param raced on failure: whether another file got the name meanwhile. (The error does not tell
 *   that, because config->fill returns any error.)
 * @return as shm_store_open() */
int shm_segment_create(struct shm_store *store, const struct shm_config *config, bool *raced,
                       struct shm_fault *fault);

#endif
