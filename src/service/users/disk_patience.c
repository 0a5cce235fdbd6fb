/* SPDX-License-Identifier: MIT */
#include "service/users/disk_patience.h"

#include <sys/param.h>

enum {
    FULL_MS = 5000,   /* for a call without a deadline */
    SLOW_MS = 60000,  /* as above */
    MARGIN_MS = 100,  /* before the deadline, at most ... */
    MARGIN_PART = 16, /* ... this part of the time that the call has */
};

static bool has_deadline(const struct grpc_call *call)
{
    return grpc_call_deadline(call) != UINT64_MAX;
}

uint64_t disk_patience_end(const struct shm_disk_info *disk, const struct grpc_call *call,
                           uint64_t began)
{
    uint64_t deadline = grpc_call_deadline(call);
    if (has_deadline(call))
        return deadline <= began
                   ? began
                   : deadline - MIN((deadline - began) / MARGIN_PART, (uint64_t)MARGIN_MS);
    /* A disk that has been full for a moment only is waited for, however long it was slow before.
     */
    return disk->state == SHM_DISK_FULL ? MAX(began, disk->since_ms) + FULL_MS : began + SLOW_MS;
}

bool disk_failed_since(const struct shm_disk_info *disk, uint64_t began)
{
    /* What was written after the failure is in no file that has failed. It will be in the new one.
     */
    return disk->state == SHM_DISK_FAILED ||
           (shm_disk_is_replaced(disk) && began <= disk->failed_ms);
}

void disk_end_call(const struct shm_disk_info *disk, struct grpc_call *call, uint64_t began)
{
    if (disk_failed_since(disk, began))
        grpc_call_finish(call, GRPC_UNAVAILABLE,
                         "the data file has failed; whether the change was made is unknown");
    else if (disk->state == SHM_DISK_FULL)
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED,
                         "the disk of the data file is full; the change may be made later");
    else
        grpc_call_finish(call, has_deadline(call) ? GRPC_DEADLINE_EXCEEDED : GRPC_UNAVAILABLE,
                         disk->state == SHM_DISK_STOPPED
                             ? "the process that writes the data file cannot start; the change may "
                               "be made later"
                             : "the disk of the data file is too slow; the change may be made "
                               "later");
}

bool disk_is_behind(const struct shm_disk_info *disk)
{
    return disk->behind + SHM_BATCH_MAX > disk->behind_max && disk->state != SHM_DISK_NONE;
}
