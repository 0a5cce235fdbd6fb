/* SPDX-License-Identifier: MIT */
/* The course of a write that needs memory: what inserts and updates share. The functions are in
 * line, so that each kind of write gets a copy without indirect calls. */
#ifndef ROSTERD_SHM_WRITE_WRITE_LOOP_H
#define ROSTERD_SHM_WRITE_WRITE_LOOP_H

#include <stddef.h>

#include <urcu/compiler.h>

#include "shm/core/actor_handle.h"
#include "shm/core/hash.h"
#include "shm/core/publication.h"
#include "shm/core/store_handle.h"
#include "shm/core/test_points.h"
#include "shm/core/writer_lock.h"
#include "shm/error.h"
#include "shm/store.h"
#include "shm/table/requests.h"
#include "shm/table/unique.h"
#include "shm/write/make_room.h"
#include "shm/write/reserve.h"

/** What an insert and an update do differently. prepare_batch and commit return SHM_OK or the error
 * with which the write ends; SHM_ESPACE: the arena has to grow, then the write is tried again. */
struct shm_write_kind {
    /** Once for each user, before everything else and without the lock: hashes the id, and asks for
     * the bucket, which arrives while the bodies are hashed. */
    void (*prepare)(struct shm_actor *actor, const uint8_t id[SHM_ID_SIZE], size_t i);
    bool takes_keys; /* the write gives unique keys to users */
    /** For two users or more, before each try for the lock: reserves large bodies and brings the
     * memory that the commit will touch into the cache. */
    int (*prepare_batch)(struct shm_actor *actor, const struct shm_new_user *users, size_t count);
    /** Under the writer lock: builds the transaction and commits it. */
    int (*commit)(struct shm_actor *actor, const struct shm_new_user *users, size_t count,
                  struct shm_conflict *conflict);
};

/* Everything that needs no shared state. */
static inline __attribute__((always_inline)) int
shm_write_prepare(struct shm_actor *actor, const struct shm_write_kind *kind,
                  const struct shm_new_user *users, size_t count, struct shm_conflict *conflict)
{
    if (count == 0 || count > SHM_BATCH_MAX || actor->store->readonly)
        return SHM_EINVAL;
    for (size_t i = 0; i < count; i++) {
        if (users[i].body_len == 0 || users[i].body_len > SHM_BODY_MAX ||
            users[i].hidden_len > SHM_BODY_MAX - users[i].body_len ||
            (count > 1 && users[i].request != NULL)) {
            conflict->which = i;
            return SHM_EINVAL;
        }
        kind->prepare(actor, users[i].id, i);
    }
    for (size_t i = 0; i < count; i++)
        actor->batch.check[i] =
            shm_check_parts(users[i].body, users[i].body_len, users[i].hidden, users[i].hidden_len);
    return kind->takes_keys && actor->unique != 0 ? shm_unique_prepare(actor, users, count)
                                                  : SHM_OK;
}

static inline __attribute__((always_inline)) int
shm_write_commit(struct shm_actor *actor, const struct shm_write_kind *kind,
                 const struct shm_new_user *users, size_t count, struct shm_conflict *conflict)
{
    int rc = count > 1 ? kind->prepare_batch(actor, users, count) : SHM_OK;
    if (rc == SHM_OK)
        rc = shm_writer_lock(actor->store);
    if (rc != SHM_OK)
        return rc;
    SHM_POINT("locked");
    if (caa_unlikely(users[0].request != NULL))
        rc = shm_requests_admit(actor, users[0].request, conflict);
    if (rc == SHM_OK)
        rc = shm_backlog_check(count);
    if (rc == SHM_OK)
        rc = kind->commit(actor, users, count, conflict);
    if (rc == SHM_OK)
        conflict->version = shm_control()->version;
    shm_writer_unlock();
    if (rc == SHM_OK)
        shm_backlog_announce();
    return rc;
}

/**
 * Checks the arguments, then runs the write, again and again while the arena can grow.
 * @param kind a constant, so that the compiler calls its functions directly
 * @param conflict may be NULL
 * @return as shm_users_insert()
 */
static inline __attribute__((always_inline)) int
shm_write_users(struct shm_actor *actor, const struct shm_write_kind *kind,
                const struct shm_new_user *users, size_t count, struct shm_conflict *conflict)
{
    struct shm_conflict ignored;
    if (conflict == NULL)
        conflict = &ignored;
    *conflict = (struct shm_conflict){0};
    unsigned tries = 0;
    actor->txn.at_bound = false;
    int rc = shm_write_prepare(actor, kind, users, count, conflict);
    while (rc == SHM_OK) {
        rc = shm_write_commit(actor, kind, users, count, conflict);
        if (rc != SHM_ESPACE)
            break;
        rc = shm_make_room(actor, &tries);
    }
    if (count > 1)
        shm_reserve_end(actor, rc);
    return rc;
}

#endif
