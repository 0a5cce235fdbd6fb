/* SPDX-License-Identifier: MIT */
/*
 * Inserts users of many requests, some of which cannot be inserted, in as few commits as possible,
 * in their order. An insert of the store is all or nothing:
 * - If the table has room for a part of the users only, halving finds that part.
 * - If a user's name or id is taken, the users before it are inserted first, so that of two users
 *   of one batch with the same name the first one gets it. Then the refused user is the first of
 *   the rest, and is left out.
 * The next insert has half as many users as one that failed and twice as many as one that worked.
 * So the work stays proportional to the number of users, however many names are taken.
 */
#ifndef ROSTERD_SERVICE_USERS_INSERT_MANY_H
#define ROSTERD_SERVICE_USERS_INSERT_MANY_H

#include <stdbool.h>
#include <stdint.h>

#include "service/users/user_service_state.h"
#include "shm/store.h"

/** Whose users they are. Users are named by their index in user_service.batch. */
struct insert_many_caller {
    /** These users are in the table, as of this commit. */
    void (*inserted)(void *data, uint32_t first, uint32_t count, uint64_t version);
    /** This user is not. Each user is told of once, in the order of the users.
     * @param result of shm_users_insert() @param conflict the store's */
    void (*refused)(void *data, uint32_t which, int result, const struct shm_conflict *conflict);
    /** Whether the user's id is the client's: a taken one is refused. Of another user the server
     * draws a new one. NULL: all ids are drawn. */
    bool (*has_given_id)(void *data, uint32_t which);
    void *data;
};

/**
 * Inserts the first `count` (1 to SHM_BATCH_MAX) users of service->batch.
 * @param chunk how many users to insert first; 0: all. Set for the next try with the rest
 * @param done set to how many users the caller was told of
 * @return SHM_OK: all; SHM_EBUSY: another process holds the writer lock, or the journal is behind;
 *   SHM_EREADONLY
 */
int insert_many(struct user_service *service, uint32_t count,
                const struct insert_many_caller *caller, uint32_t *chunk, uint32_t *done);

#endif
