/* SPDX-License-Identifier: MIT */
/* How much more the table can hold, and which bound it meets first. */
#ifndef ROSTERD_SHM_HEADROOM_H
#define ROSTERD_SHM_HEADROOM_H

#include <stdint.h>

#include "shm/store.h"

enum {
    /* What a user is expected to take, besides the hash tables: a node of 128 bytes, a body of 56
     * bytes and up to 64 of its own, and a share of the sparse index. */
    SHM_USER_BYTES = 256,
    SHM_AVERAGE_USERS = 1000, /* a table of at least so many users shows what its users take */
};

/** What keeps the table from taking more users. */
enum shm_bound {
    SHM_BOUND_USERS,   /* max_users */
    SHM_BOUND_SEGMENT, /* the size that the segment may grow to */
    SHM_BOUND_FILES,   /* the file system in which the segment lies: /dev/shm */
    SHM_BOUND_MEMORY,  /* the memory limit of a control group of this process */
    SHM_NUM_BOUNDS
};

/** Sizes are bytes. UINT64_MAX: there is no bound. */
struct shm_headroom {
    uint64_t files_size, files_free; /* of the file system */
    uint64_t memory_left;            /* that the control groups leave to the segment */
    uint64_t segment_left;           /* that the segment may grow by */
    uint64_t user_bytes;             /* what a user takes: the average, or SHM_USER_BYTES */
    uint64_t bytes;       /* for more users: free in the segment, or to be had by growing it */
    uint64_t users;       /* how many more users of user_bytes fit */
    enum shm_bound bound; /* what keeps more than `users` out */
    enum shm_bound bytes_bound; /* what keeps the segment from growing: not SHM_BOUND_USERS */
};

/**
 * Reads what is free at the moment. Free blocks count whole, though a block of one size does not
 * serve a user of another, so a few users may be refused before `users` says 0. Makes one system
 * call, and reads three files of each control group that has a limit.
 * @param info of the same store: shm_store_info()
 */
void shm_headroom(const struct shm_store *store, const struct shm_info *info,
                  struct shm_headroom *headroom);

/** "max-users is reached", for a message. A static string. */
const char *shm_bound_text(enum shm_bound bound);

#endif
