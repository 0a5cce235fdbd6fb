/* SPDX-License-Identifier: MIT */
/* Rules that every owner's configuration must keep, whether it creates a segment or takes one over.
 */
#ifndef ROSTERD_SHM_LIFECYCLE_STORE_CONFIG_H
#define ROSTERD_SHM_LIFECYCLE_STORE_CONFIG_H

#include "shm/error.h"
#include "shm/store.h"

/** Whether config->unique and config->key_of fit each other. @return SHM_OK, SHM_EINVAL */
int shm_config_check_unique(const struct shm_config *config, struct shm_fault *fault);
/** Whether a segment of this bound can be mapped in every process. @return SHM_OK, SHM_EINVAL */
int shm_config_check_size(uint64_t size, struct shm_fault *fault);
/** The bytes that pins may keep from being freed: config->snapshot_max_bytes, or the default. */
uint64_t shm_config_held_max(const struct shm_config *config);

/** Whether the data file's path can be recorded. @return SHM_OK, SHM_EINVAL */
int shm_config_check_disk(const struct shm_config *config, struct shm_fault *fault);
/** Records the data file and who publishes commits in the mapped segment. */
void shm_config_set_disk(const struct shm_config *config);

#endif
