/* SPDX-License-Identifier: MIT */
#include "shm/write/write_loop.h"

#include "shm/core/actor_handle.h"
#include "shm/core/hash.h"
#include "shm/core/store_handle.h"
#include "shm/core/test_points.h"
#include "shm/core/writer_lock.h"
#include "shm/error.h"
#include "shm/write/make_room.h"
#include "shm/write/reserve.h"

/* Everything that needs no shared state. The kind's part comes first: it asks for buckets, which
 * arrive while the bodies are hashed. */
static int prepare_users(struct shm_actor *actor, const struct shm_write_kind *kind,
                         const struct shm_new_user *users, size_t count,
                         struct shm_conflict *conflict)
{
    if (count == 0 || count > SHM_BATCH_MAX || actor->store->readonly)
        return SHM_EINVAL;
    for (size_t i = 0; i < count; i++)
        if (users[i].body_len == 0 || users[i].body_len > SHM_BODY_MAX) {
            conflict->which = i;
            return SHM_EINVAL;
        }
    int rc = kind->prepare(actor, users, count);
    for (size_t i = 0; i < count; i++)
        actor->batch.check[i] = shm_check_bytes(users[i].body, users[i].body_len);
    return rc;
}

static int commit_users(struct shm_actor *actor, const struct shm_write_kind *kind,
                        const struct shm_new_user *users, size_t count,
                        struct shm_conflict *conflict)
{
    int rc = count > 1 ? kind->prepare_batch(actor, users, count) : SHM_OK;
    if (rc == SHM_OK)
        rc = shm_writer_lock(actor->store);
    if (rc != SHM_OK)
        return rc;
    SHM_POINT("locked");
    rc = kind->commit(actor, users, count, conflict);
    shm_writer_unlock();
    return rc;
}

int shm_write_users(struct shm_actor *actor, const struct shm_write_kind *kind,
                    const struct shm_new_user *users, size_t count, struct shm_conflict *conflict)
{
    struct shm_conflict ignored;
    if (conflict == NULL)
        conflict = &ignored;
    *conflict = (struct shm_conflict){0};
    unsigned tries = 0;
    actor->txn.at_bound = false;
    int rc = prepare_users(actor, kind, users, count, conflict);
    while (rc == SHM_OK) {
        rc = commit_users(actor, kind, users, count, conflict);
        if (rc != SHM_ESPACE)
            break;
        rc = shm_make_room(actor, &tries);
    }
    if (count > 1)
        shm_reserve_end(actor, rc);
    return rc;
}
