/* SPDX-License-Identifier: MIT */
/* Inserts one user or a batch, in one transaction; build_insert.h explains it. */
#include <urcu/compiler.h>

#include "shm/core/actor_handle.h"
#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/core/test_points.h"
#include "shm/core/txn.h"
#include "shm/error.h"
#include "shm/store.h"
#include "shm/table/feed.h"
#include "shm/table/requests.h"
#include "shm/write/build_insert.h"
#include "shm/write/reserve.h"
#include "shm/write/write_loop.h"

static int build_insert(struct shm_actor *actor, const struct shm_new_user *users, size_t count,
                        struct shm_conflict *conflict)
{
    struct shm_control *control = shm_control();
    struct shm_txn *txn = &actor->txn;
    int rc = shm_insert_build(actor, users, count, conflict);
    if (rc != SHM_OK)
        return rc;
    for (size_t i = 0; i < count; i++)
        shm_feed_write(control->feed_head + i, control->version + 1, SHM_CREATED,
                       control->seq + 1 + i, users[i].id);
    shm_txn_word(txn, &control->feed_head, control->feed_head + count);
    shm_txn_word(txn, &control->seq, control->seq + count);
    shm_txn_word(txn, &control->users, control->users + count);
    shm_reserve_log(actor);
    if (caa_unlikely(users[0].request != NULL))
        shm_requests_log(actor, users[0].request, users[0].id, control->version + 1);
    return SHM_OK;
}

static int commit_insert(struct shm_actor *actor, const struct shm_new_user *users, size_t count,
                         struct shm_conflict *conflict)
{
    int rc = build_insert(actor, users, count, conflict);
    if (rc != SHM_OK)
        return rc;
    shm_txn_seal(&actor->txn, shm_control()->version + 1);
    shm_insert_publish(actor, count);
    shm_txn_apply(&actor->txn);
    SHM_POINT("applied");
    return SHM_OK;
}

int shm_users_insert(struct shm_actor *actor, const struct shm_new_user *users, size_t count,
                     struct shm_conflict *conflict)
{
    static const struct shm_write_kind insert = {.prepare = shm_insert_prepare,
                                                 .takes_keys = true,
                                                 .prepare_batch = shm_insert_prepare_batch,
                                                 .commit = commit_insert};
    return shm_write_users(actor, &insert, users, count, conflict);
}
