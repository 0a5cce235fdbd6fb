/* SPDX-License-Identifier: MIT */
/* The scratch memory of one write, kept in its actor so that the stack stays small. */
#ifndef ROSTERD_SHM_CORE_WRITE_BATCH_H
#define ROSTERD_SHM_CORE_WRITE_BATCH_H

#include <stdbool.h>

#include "shm/core/layout.h"
#include "shm/store.h"

enum { SHM_PENDING = 8 * SHM_BATCH_MAX }; /* a batch changes at most 3 buckets a user */

struct shm_batch {
    /* of the batch's user i */
    uint64_t hash[SHM_BATCH_MAX];
    uint32_t check[SHM_BATCH_MAX]; /* shm_check_parts() of the new body */
    struct shm_node *node[SHM_BATCH_MAX];
    struct shm_body *body[SHM_BATCH_MAX]; /* the new one, of an update; a reserved one */
    struct shm_tower *tower[SHM_BATCH_MAX];
    bool recycled[SHM_BATCH_MAX]; /* node[i] comes from the free list */
    /* What buckets will lead to after the commit (hash_chain.h): a hash table with open addressing.
     * An entry with another stamp is empty, so that the table need not be cleared. */
    struct {
        uint64_t bucket, stamp;
        struct cds_hlist_node *first;
    } pending[SHM_PENDING];
    uint64_t stamp;
    const struct shm_loaded_user *loaded; /* of a load: the users' former numbers and versions */
};

#endif
