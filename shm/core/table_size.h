/* SPDX-License-Identifier: MIT */
/* How large hash tables are. */
#ifndef ROSTERD_SHM_CORE_TABLE_SIZE_H
#define ROSTERD_SHM_CORE_TABLE_SIZE_H

#include "shm/core/layout.h"

/** The number of buckets for this number of users, a power of two. There is at least one bucket per
 * user: a lookup compares 1.5 nodes on average at worst, and buckets take 8 to 16 bytes a user. */
static inline uint64_t shm_bucket_count(uint64_t max_users)
{
    enum { BUCKETS_MIN = 8192 };
    uint64_t n = BUCKETS_MIN;
    while (n < max_users)
        n *= 2;
    return n;
}

/** The size of a hash table with this number of buckets, in bytes: whole extents. */
static inline uint64_t shm_table_size(uint64_t buckets)
{
    return shm_round_up(buckets * sizeof(struct cds_hlist_head), SHM_EXTENT);
}

#endif
