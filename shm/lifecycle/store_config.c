/* SPDX-License-Identifier: MIT */
#include "shm/lifecycle/store_config.h"

#include "shm/core/fail.h"

int shm_config_check_unique(const struct shm_config *config, struct shm_fault *fault)
{
    if (config->unique >> SHM_KEYS != 0 || (config->unique != 0 && config->key_of == NULL))
        return shm_fail(fault, SHM_EINVAL, "unique %#x: there are %d keys, and key_of must be set",
                        config->unique, SHM_KEYS);
    return SHM_OK;
}

int shm_config_check_size(uint64_t size, struct shm_fault *fault)
{
    if (size <= SHM_SIZE_MAX)
        return SHM_OK;
    return shm_fail(fault, SHM_EINVAL,
                    "segment-size %llu: must be at most %llu bytes (%lluG), more cannot be mapped "
                    "in each process",
                    (unsigned long long)size, (unsigned long long)SHM_SIZE_MAX,
                    (unsigned long long)(SHM_SIZE_MAX >> 30));
}

uint64_t shm_config_held_max(const struct shm_config *config)
{
    return config->snapshot_max_bytes != 0 ? config->snapshot_max_bytes : UINT64_C(256) << 20;
}
