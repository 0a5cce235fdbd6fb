/* SPDX-License-Identifier: MIT */
/* A new owner takes over the segment that an earlier owner left. */
#ifndef ROSTERD_SHM_LIFECYCLE_TAKEOVER_H
#define ROSTERD_SHM_LIFECYCLE_TAKEOVER_H

#include "shm/error.h"
#include "shm/store.h"

/** Checks, maps and adopts the segment. A segment that fails the checks stays as it was.
 * @return as shm_store_open(); SHM_ENOSEG: there is no segment of this name */
int shm_take_over(struct shm_store *store, const struct shm_config *config,
                  struct shm_fault *fault);

#endif
