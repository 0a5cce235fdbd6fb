/* SPDX-License-Identifier: MIT */
/* The course of a write that needs memory: what inserts and updates share. */
#ifndef ROSTERD_SHM_WRITE_WRITE_LOOP_H
#define ROSTERD_SHM_WRITE_WRITE_LOOP_H

#include <stddef.h>

#include "shm/store.h"

/** What an insert and an update do differently. Each function returns SHM_OK or the error with
 * which the write ends; SHM_ESPACE: the arena has to grow, then the write is tried again. */
struct shm_write_kind {
    /** Once, before everything else and without the lock: hashes ids and keys. */
    int (*prepare)(struct shm_actor *actor, const struct shm_new_user *users, size_t count);
    /** For two users or more, before each try for the lock: reserves large bodies and brings the
     * memory that the commit will touch into the cache. */
    int (*prepare_batch)(struct shm_actor *actor, const struct shm_new_user *users, size_t count);
    /** Under the writer lock: builds the transaction and commits it. */
    int (*commit)(struct shm_actor *actor, const struct shm_new_user *users, size_t count,
                  struct shm_conflict *conflict);
};

/** Checks the arguments, then runs the write, again and again while the arena can grow.
 * @param conflict may be NULL
 * @return as shm_users_insert() */
int shm_write_users(struct shm_actor *actor, const struct shm_write_kind *kind,
                    const struct shm_new_user *users, size_t count, struct shm_conflict *conflict);

#endif
