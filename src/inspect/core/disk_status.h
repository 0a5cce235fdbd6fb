/* SPDX-License-Identifier: MIT */
/* What the store knows of the data file and of the journal process that writes it. */
#ifndef ROSTERD_INSPECT_CORE_DISK_STATUS_H
#define ROSTERD_INSPECT_CORE_DISK_STATUS_H

#include <stdint.h>

#include <json-c/json.h>

#include "shm/disk.h"
#include "shm/store.h"

struct disk_status {
    struct shm_disk_info disk;
    bool kept;            /* the table has a data file */
    bool served;          /* a server owns the segment: `disk.state` is of now */
    uint32_t journal_pid; /* 0: no journal process is attached */
    uint64_t commits;     /* that the file does not have yet */
};

/** @param info of the store, for what the two have in common */
void disk_status_read(struct disk_status *status, struct shm_store *store,
                      const struct shm_info *info);
/** "ok", "full", "rewriting", "failed"; "none" without a data file; "stopped" without a server or
 * without a journal. */
const char *disk_status_state(const struct disk_status *status);
struct json_object *disk_status_object(const struct disk_status *status);

#endif
