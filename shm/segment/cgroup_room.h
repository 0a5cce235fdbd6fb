/* SPDX-License-Identifier: MIT */
/*
 * How much memory the process's control groups have left. A tmpfs gives memory that a group does
 * not have, and the kernel then kills a process of the group instead of returning an error: so
 * who asks for memory looks first.
 *
 * A page of the segment is charged to the group of the process that allocates it, and to all groups
 * above that. Both versions are read: memory.max, memory.current and memory.stat (v2), and
 * memory.limit_in_bytes, memory.usage_in_bytes and memory.stat (v1). What is not there or not
 * readable is no limit; for want of a descriptor to read it, a known limit is taken to be met.
 */
#ifndef ROSTERD_SHM_SEGMENT_ROOM_H
#define ROSTERD_SHM_SEGMENT_ROOM_H

#include <stdbool.h>
#include <stdint.h>

#include "shm/error.h"

enum { SHM_ROOM_GROUPS = 32 }; /* of one process: deeper ones are not looked at */

struct shm_group {
    char *path; /* of its directory; malloc's */
    bool v2;
    bool limited; /* it had a limit when it was last looked at; atomic, for there may be threads */
};

/** The groups of a process that count memory, its own first. */
struct shm_room {
    unsigned count;
    struct shm_group group[SHM_ROOM_GROUPS];
};

/**
 * Finds the groups of this process.
 * @param root "" or a directory that stands for "/", for tests
 */
void shm_room_find(struct shm_room *room, const char *root);
void shm_room_free(struct shm_room *room);
/**
 * How many bytes the fullest of the groups can take, as its files say now. Clean pages of the page
 * cache count as room: the kernel gives them up. Beyond this a margin is left: see the file.
 * @return UINT64_MAX: there is no limit
 */
uint64_t shm_room_left(struct shm_room *room);

/**
 * Whether the groups of this process, which are found once, have room for so many bytes more. Some
 * 30 us for each group with a limit.
 * @return SHM_OK, SHM_ESPACE
 */
int shm_room_for(uint64_t bytes, struct shm_fault *fault);
/** Has shm_room_for() look below this directory from now on, for tests. By one thread. */
void shm_room_set_root(const char *root);

#endif
