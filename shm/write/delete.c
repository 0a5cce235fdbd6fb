/* SPDX-License-Identifier: MIT */
/*
 * Deletes users, in one transaction (txn.h describes the protocol).
 *
 * A delete only stores the version of the deletion: the `died` of the node and of its newest body.
 * Both stay where they are, for snapshots of older versions. The body is retired and from then on
 * stands for its node too (reclaim.c). The id and the unique keys are free for another user at
 * once.
 */
#include "shm/core/actor_handle.h"
#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/core/publication.h"
#include "shm/core/store_handle.h"
#include "shm/core/test_points.h"
#include "shm/core/txn.h"
#include "shm/core/writer_lock.h"
#include "shm/error.h"
#include "shm/readers/reclaim.h"
#include "shm/store.h"
#include "shm/table/feed.h"
#include "shm/table/retire.h"
#include "shm/write/targets.h"

static int commit_delete(struct shm_actor *actor, const uint8_t (*ids)[SHM_ID_SIZE], size_t count,
                         uint64_t if_version, struct shm_conflict *conflict)
{
    struct shm_control *control = shm_control();
    struct shm_txn *txn = &actor->txn;
    uint64_t version = control->version + 1;
    int rc = shm_find_targets(actor, ids[0], SHM_ID_SIZE, count, conflict);
    if (rc != SHM_OK)
        return rc;
#ifdef SHM_MUTANT_ANY_DELETE
    if_version = 0;
#endif
    if (if_version != 0 && actor->batch.node[0]->body->born != if_version) {
        conflict->version = actor->batch.node[0]->body->born;
        return SHM_ESTALE;
    }
    shm_txn_begin(txn);
    uint64_t token = shm_txn_token(txn);
    for (size_t i = 0; i < count; i++) {
        shm_retire_node(txn, actor->batch.node[i], version, token);
        shm_feed_write(control->feed_head + i, version, SHM_DELETED, actor->batch.node[i]->seq,
                       ids[i]);
    }
    shm_txn_word(txn, &control->feed_head, control->feed_head + count);
    shm_txn_word(txn, &control->users, control->users - count);
    shm_txn_seal(txn, version);
    shm_txn_apply(txn);
    SHM_POINT("applied");
    return SHM_OK;
}

static int delete_users(struct shm_actor *actor, const uint8_t (*ids)[SHM_ID_SIZE], size_t count,
                        uint64_t if_version, struct shm_conflict *conflict)
{
    struct shm_conflict ignored;
    if (conflict == NULL)
        conflict = &ignored;
    *conflict = (struct shm_conflict){0};
    if (count == 0 || count > SHM_BATCH_MAX || actor->store->readonly)
        return SHM_EINVAL;
    for (size_t i = 0; i < count; i++)
        shm_prepare_id(actor, ids[i], i);
    if (count > 1)
        shm_touch_targets(actor, count);
    int rc = shm_writer_lock(actor->store);
    if (rc != SHM_OK)
        return rc;
    SHM_POINT("locked");
    rc = shm_backlog_check(count);
    if (rc == SHM_OK)
        rc = commit_delete(actor, ids, count, if_version, conflict);
    if (rc == SHM_OK)
        conflict->version = shm_control()->version;
    shm_writer_unlock();
    if (rc == SHM_OK) {
        shm_backlog_announce();
        shm_reclaim_some(actor, count);
    }
    return rc;
}

int shm_users_delete(struct shm_actor *actor, const uint8_t (*ids)[SHM_ID_SIZE], size_t count,
                     struct shm_conflict *conflict)
{
    return delete_users(actor, ids, count, 0, conflict);
}

int shm_user_delete(struct shm_actor *actor, const uint8_t id[SHM_ID_SIZE], uint64_t if_version,
                    struct shm_conflict *conflict)
{
    return delete_users(actor, (const uint8_t(*)[SHM_ID_SIZE])id, 1, if_version, conflict);
}
