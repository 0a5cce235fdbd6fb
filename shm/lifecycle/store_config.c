/* SPDX-License-Identifier: MIT */
#include "shm/lifecycle/store_config.h"

#include <string.h>

#include "shm/core/fail.h"
#include "shm/core/mapping.h"
#include "shm/disk.h"

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

int shm_config_check_disk(const struct shm_config *config, struct shm_fault *fault)
{
    if (config->data_file == NULL || strlen(config->data_file) < SHM_DATA_FILE_MAX)
        return SHM_OK;
    return shm_fail(fault, SHM_EINVAL, "data-file %.100s...: the path is longer than %d bytes",
                    config->data_file, SHM_DATA_FILE_MAX - 1);
}

/* If the process dies between two of the stores, `published` is never too new: the next owner sets
 * all of this again. */
void shm_config_set_disk(const struct shm_config *config)
{
    struct shm_control *control = shm_control();
    struct shm_disk *disk = &control->disk;
    bool durable = config->durable && config->data_file != NULL;
    if (!durable)
        __atomic_store_n(&control->published, control->version, __ATOMIC_RELEASE);
    if (control->published == control->version)
        disk->users = control->users;
    __atomic_store_n(&control->durable, durable, __ATOMIC_RELEASE);
    memset(disk->path, 0, sizeof(disk->path));
    if (config->data_file != NULL)
        memcpy(disk->path, config->data_file, strlen(config->data_file));
    disk->error = disk->since = disk->failed = 0;
    disk->sleeping = 0;
    __atomic_store_n(&disk->state, config->data_file != NULL ? SHM_DISK_OK : SHM_DISK_NONE,
                     __ATOMIC_RELEASE);
}
