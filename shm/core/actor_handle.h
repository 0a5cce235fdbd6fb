/* SPDX-License-Identifier: MIT */
/* An actor: a process, or a thread of a tool, that has a slot in the segment. */
#ifndef ROSTERD_SHM_CORE_ACTOR_HANDLE_H
#define ROSTERD_SHM_CORE_ACTOR_HANDLE_H

#include <stdbool.h>
#include <stddef.h>

#include "shm/core/layout.h"
#include "shm/core/txn.h"
#include "shm/core/write_batch.h"
#include "shm/store.h"

struct shm_actor {
    struct shm_slot *slot;
    struct cds_hlist_head *buckets; /* the table of ids; NULL for a reading tool */
    uint64_t bucket_mask;
    uint8_t secret[SHM_SECRET_SIZE]; /* copy of header->secret in private cache lines */
    bool online;
    unsigned unique; /* bit k: by_key[k] has buckets */
    struct shm_table
        by_key[SHM_KEYS];           /* copy of control->unique, which shares lines with writers */
    uint64_t key_from[SHM_KEYS];    /* copy of control->index_from */
    struct shm_keys *keys;          /* NULL if unique is 0 */
    size_t retired;                 /* bodies retired since this actor last reclaimed */
    size_t unseen;                  /* bodies retired since this actor last looked at the readers */
    struct shm_readers *readers;    /* what that look saw: readers.h */
    bool reserved;                  /* the batch's bodies are in the slot's reserve: reserve.h */
    struct shm_body *next_reserved; /* the next of them that this transaction takes */
    uint8_t pins_free;              /* entries of pin_free */
    uint8_t pin_last;               /* the newest pin begun */
    unsigned number;                /* of the slot */
    struct shm_store *store;
    uint8_t pin_free[SHM_PINS];
    struct shm_txn txn;
    struct shm_batch batch;
};

#endif
