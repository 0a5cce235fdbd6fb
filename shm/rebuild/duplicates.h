/* SPDX-License-Identifier: MIT */
/* Users who share a key that is to become unique. */
#ifndef ROSTERD_SHM_REBUILD_DUPLICATES_H
#define ROSTERD_SHM_REBUILD_DUPLICATES_H

#include "shm/error.h"
#include "shm/store.h"

/**
 * Whether no two users share a key that config makes unique and that has no index yet. Changes
 * nothing.
 * @return SHM_OK; SHM_EEXIST: the fault names some of those users; SHM_ESYS: out of memory
 */
int shm_rebuild_check(struct shm_store *store, const struct shm_config *config,
                      struct shm_fault *fault);

#endif
