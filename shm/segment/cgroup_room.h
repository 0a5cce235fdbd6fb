/* SPDX-License-Identifier: MIT */
/*
 * How much memory the process's control groups have left. If a process allocates tmpfs memory
 * beyond its group's limit, the kernel does not return an error but kills a process of the group.
 * So the store checks the limit before it allocates.
 *
 * A page of the segment is charged to the group of the process that allocates it, and to all groups
 * above. Both versions of control groups are supported: memory.max, memory.current and memory.stat
 * (v2), and memory.limit_in_bytes, memory.usage_in_bytes and memory.stat (v1). A file that does not
 * exist or cannot be read means no limit. But if it cannot be read because the process has no free
 * descriptor, a group that had a limit before counts as full.
 */
#ifndef ROSTERD_SHM_SEGMENT_ROOM_H
#define ROSTERD_SHM_SEGMENT_ROOM_H

#include <stdbool.h>
#include <stdint.h>

#include "shm/error.h"

enum { SHM_ROOM_GROUPS = 32 }; /* per process; further ones are ignored */

struct shm_group {
    char *path; /* of its directory; allocated by malloc() */
    bool v2;
    bool limited; /* had a limit when it was last read; atomic, because threads may share it */
};

/** The groups of a process that count memory, its own first. */
struct shm_room {
    unsigned count;
    struct shm_group group[SHM_ROOM_GROUPS];
};

/**
 * Finds the groups of this process.
 * @param room to be freed by shm_room_free()
 * @param root "", or for tests a directory that stands for "/"
 */
void shm_room_find(struct shm_room *room, const char *root);
void shm_room_free(struct shm_room *room);
/**
 * How many bytes the fullest of the groups can take, as its files say now. Clean pages of the page
 * cache count as room, because the kernel can reclaim them. A margin (cgroup_room.c) does not. For
 * tests: the store uses shm_room_for().
 * @return UINT64_MAX: there is no limit
 */
uint64_t shm_room_left(struct shm_room *room);

/**
 * Whether the groups of this process have room for `bytes` more bytes. Finds the groups at the
 * first call. Takes some 30 us per group that has a limit.
 * @return SHM_OK, SHM_ESPACE
 */
int shm_room_for(uint64_t bytes, struct shm_fault *fault);
/** shm_room_left() of the groups of this process. Reads their memory.stat, so it takes longer.
 * @return UINT64_MAX: there is no limit */
uint64_t shm_room_here(void);
/** For tests: makes both use this directory instead of "/". Not thread-safe. */
void shm_room_set_root(const char *root);

#endif
