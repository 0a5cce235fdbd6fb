/* SPDX-License-Identifier: MIT */
/*
 * How long a call waits for the disk of the data file, and what it is told then.
 *
 * A slow disk is waited for until the client's deadline, or for a minute without one. When the disk
 * is full, the client learns that: shortly before its deadline, or after five seconds without one.
 * When the file has failed, nobody knows whether a write that was under way is in it, so a call
 * that waited then ends at once.
 */
#ifndef ROSTERD_SERVICE_USERS_DISK_PATIENCE_H
#define ROSTERD_SERVICE_USERS_DISK_PATIENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "grpc/grpc.h"
#include "shm/disk.h"

/** The end of a call that has waited enough; text NULL: it waits on. */
struct disk_verdict {
    enum grpc_status status;
    const char *text; /* static */
};

/** Whether the call has waited enough for a disk that is slow or full.
 * @param began when it began to wait, ms @param now ms */
bool disk_patience_is_over(const struct shm_disk_info *disk, const struct grpc_call *call,
                           uint64_t began, uint64_t now);

/** The same for a call whose write, or whose reason to be refused, is in the table, but not
 * published. */
struct disk_verdict disk_patience_judge(const struct shm_disk_info *disk,
                                        const struct grpc_call *call, uint64_t began, uint64_t now);

/** Whether writes find SHM_EBUSY because the journal is behind, and not because of the lock. */
bool disk_is_behind(const struct shm_disk_info *disk);

#endif
