/* SPDX-License-Identifier: MIT */
/*
 * How long a call waits for the disk of the data file, and what it is told then.
 *
 * A call waits almost until its deadline. It ends before, so that the client learns the reason, and
 * has no call to reset: many resets would end its connection (http2/calm.h). Without a deadline, it
 * waits a minute for a slow disk, and five seconds for a full one.
 *
 * When the file has failed, nobody knows whether a write that was under way is in it, so a call
 * that waited then ends at once.
 */
#ifndef ROSTERD_SERVICE_USERS_DISK_PATIENCE_H
#define ROSTERD_SERVICE_USERS_DISK_PATIENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "grpc/grpc.h"
#include "shm/disk.h"

/** When the call has waited enough, in ms. @param began when it began to wait, in ms */
uint64_t disk_patience_end(const struct shm_disk_info *disk, const struct grpc_call *call,
                           uint64_t began);
/** Whether a write that began to wait then may be in a file that has failed. */
bool disk_failed_since(const struct shm_disk_info *disk, uint64_t began);
/** Ends a call whose write, or whose reason to be refused, is in the table, but not published: it
 * has waited enough, or the file has failed. */
void disk_end_call(const struct shm_disk_info *disk, struct grpc_call *call, uint64_t began);

/** Whether writes find SHM_EBUSY because the journal is behind, and not because of the lock. */
bool disk_is_behind(const struct shm_disk_info *disk);

#endif
