/* SPDX-License-Identifier: MIT */
#include "inspect/core/disk_status.h"

#include <string.h>

#include "inspect/core/object.h"

static uint32_t find_journal(struct shm_store *store)
{
    struct shm_slot_info slot;
    unsigned from = 0;
    while (shm_slot_next(store, &from, &slot))
        if (slot.kind == SHM_ACTOR_JOURNAL && slot.alive)
            return slot.pid;
    return 0;
}

void disk_status_read(struct disk_status *status, struct shm_store *store,
                      const struct shm_info *info)
{
    shm_disk_info(store, &status->disk);
    status->kept = status->disk.path[0] != '\0';
    status->served = info->owned;
    status->journal_pid = find_journal(store);
    status->commits = status->kept && info->version > status->disk.version
                          ? info->version - status->disk.version
                          : 0;
}

const char *disk_status_state(const struct disk_status *status)
{
    if (!status->kept)
        return "none";
    if (!status->served || status->journal_pid == 0)
        return "stopped";
    switch (status->disk.state) {
    case SHM_DISK_NONE:
        return "none";
    case SHM_DISK_OK:
        return "ok";
    case SHM_DISK_FULL:
        return "full";
    case SHM_DISK_REWRITING:
        return "rewriting";
    case SHM_DISK_FAILED:
        return "failed";
    case SHM_DISK_STOPPED:
        return "stopped";
    }
    return "unknown"; /* a damaged segment */
}

struct json_object *disk_status_object(const struct disk_status *status)
{
    const struct shm_disk_info *disk = &status->disk;
    struct json_object *object = object_new();
    object_add_string(object, "state", disk_status_state(status));
    object_add(object, "data_file",
               object_new_text(disk->path, strnlen(disk->path, sizeof(disk->path))));
    object_add_bool(object, "durable", disk->durable);
    object_add_number(object, "version", status->kept ? disk->version : 0);
    object_add_number(object, "commits_behind", status->commits);
    object_add_number(object, "changes_behind", disk->behind);
    object_add_string(object, "error", disk->error != 0 ? strerror(disk->error) : "");
    object_add_number(object, "pid", status->journal_pid);
    return object;
}
