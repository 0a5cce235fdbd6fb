/* SPDX-License-Identifier: MIT */
#include "service/users/disk_patience.h"

#include <sys/param.h>

enum {
    FULL_MS = 5000,  /* for a call without a deadline */
    SLOW_MS = 60000, /* as above */
    MARGIN_MS = 100, /* at most; before the deadline, so that the answer arrives in time */
    MARGIN_PART = 8, /* of the time that the call has */
};

static bool has_deadline(const struct grpc_call *call)
{
    return grpc_call_deadline(call) != UINT64_MAX;
}

/* A disk that has been full for a moment only is waited for, however long it was slow before. */
static uint64_t end_when_full(const struct shm_disk_info *disk, const struct grpc_call *call,
                              uint64_t began)
{
    uint64_t deadline = grpc_call_deadline(call);
    if (!has_deadline(call))
        return MAX(began, disk->since_ms) + FULL_MS;
    if (deadline <= began)
        return began;
    return deadline - MIN((deadline - began) / MARGIN_PART, (uint64_t)MARGIN_MS);
}

bool disk_patience_is_over(const struct shm_disk_info *disk, const struct grpc_call *call,
                           uint64_t began, uint64_t now)
{
    if (disk->state == SHM_DISK_FULL)
        return now >= end_when_full(disk, call, began);
    return !has_deadline(call) && now >= began + SLOW_MS; /* the runtime ends the others */
}

struct disk_verdict disk_patience_judge(const struct shm_disk_info *disk,
                                        const struct grpc_call *call, uint64_t began, uint64_t now)
{
    static const struct disk_verdict waits = {GRPC_OK, NULL};
    /* What was written after the failure is in no file that has failed. It will be in the new one.
     */
    if (disk->state == SHM_DISK_FAILED ||
        (disk->state == SHM_DISK_REWRITING && began <= disk->since_ms))
        return (struct disk_verdict){
            GRPC_UNAVAILABLE, "the data file has failed; whether the user was written is unknown"};
    if (!disk_patience_is_over(disk, call, began, now))
        return waits;
    if (disk->state == SHM_DISK_FULL)
        return (struct disk_verdict){
            GRPC_RESOURCE_EXHAUSTED,
            "the disk of the data file is full; the user may appear later"};
    return (struct disk_verdict){
        GRPC_UNAVAILABLE, "the disk of the data file is too slow; the user may appear later"};
}

bool disk_is_behind(const struct shm_disk_info *disk)
{
    return disk->behind + SHM_BATCH_MAX > disk->behind_max && disk->state != SHM_DISK_NONE;
}
