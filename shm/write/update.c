/* SPDX-License-Identifier: MIT */
/*
 * Replaces the bodies of existing users, in one transaction (txn.h describes the protocol).
 *
 * The new body points to the old body and takes its place in the node. A reader of an older version
 * that meets the new body continues to the old body, because of `born`. A reader of the new version
 * finds the new body, because `version` is stored after the node's word. The old body is retired:
 * see reclaim.c. If a unique key changes, the user gets a new node: see rename.h.
 */
#include <urcu/compiler.h>
#include <urcu/pointer.h>

#include "shm/core/actor_handle.h"
#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/core/store_handle.h"
#include "shm/core/test_points.h"
#include "shm/core/txn.h"
#include "shm/core/write_batch.h"
#include "shm/error.h"
#include "shm/readers/reclaim.h"
#include "shm/store.h"
#include "shm/table/feed.h"
#include "shm/table/requests.h"
#include "shm/table/retire.h"
#include "shm/table/unique.h"
#include "shm/write/new_body.h"
#include "shm/write/rename.h"
#include "shm/write/reserve.h"
#include "shm/write/targets.h"
#include "shm/write/write_loop.h"

static int prepare_update_batch(struct shm_actor *actor, const struct shm_new_user *users,
                                size_t count)
{
    int rc = shm_reserve_bodies(actor, users, count, 0);
    if (rc == SHM_OK)
        shm_touch_targets(actor, count);
    return rc;
}

static void log_old_body(struct shm_txn *txn, struct shm_body *body, struct shm_body *newer,
                         uint64_t token)
{
    shm_txn_word(txn, &body->died, newer->born);
    shm_txn_pointer(txn, &body->from, &newer->prev);
    shm_queue_push(txn, SHM_RETIRED, body, SHM_BODY_REPLACED, token);
}

/* @return SHM_OK; SHM_ESTALE: conflict names the user */
static int check_versions(const struct shm_batch *batch, const struct shm_new_user *users,
                          size_t count, struct shm_conflict *conflict)
{
#ifdef SHM_MUTANT_ANY_VERSION
    return SHM_OK;
#endif
    for (size_t i = 0; i < count; i++) {
        uint64_t version = batch->node[i]->body->born;
        if (users[i].if_version == 0 || users[i].if_version == version)
            continue;
        conflict->which = i;
        conflict->version = version;
        return SHM_ESTALE;
    }
    return SHM_OK;
}

/* Whether the update changes unique keys. One user may; a batch may not.
 * @return SHM_OK; SHM_EINVAL: conflict names the user and the key */
static int look_at_keys(struct shm_actor *actor, const struct shm_new_user *users, size_t count,
                        struct shm_conflict *conflict, bool *renames)
{
    shm_key_of *key_of = actor->store->key_of;
    *renames = false;
    if (actor->unique == 0)
        return SHM_OK;
    if (key_of == NULL)
        return SHM_EINVAL;
    for (size_t i = 0; i < count; i++) {
        const struct shm_node *node = actor->batch.node[i];
        unsigned key;
        if (!shm_unique_changes(actor, key_of, node->body, users[i].body, users[i].body_len, &key))
            continue;
        *renames = true;
        if (count == 1)
            return SHM_OK;
        *conflict = (struct shm_conflict){.which = i, .key = key, .version = node->born};
        return SHM_EINVAL;
    }
    return SHM_OK;
}

static int build_update(struct shm_actor *actor, const struct shm_new_user *users, size_t count)
{
    struct shm_control *control = shm_control();
    struct shm_txn *txn = &actor->txn;
    struct shm_batch *batch = &actor->batch;
    shm_txn_begin(txn);
    shm_reserve_begin(actor);
    for (size_t i = 0; i < count; i++) {
        batch->body[i] = shm_body_build(actor, &users[i], i, batch->node[i], batch->node[i]->body);
        if (batch->body[i] == NULL)
            return SHM_ESPACE;
        shm_txn_pointer(txn, &batch->node[i]->body, batch->body[i]);
    }
    shm_txn_links_end(txn);
    uint64_t token = shm_txn_token(txn);
    for (size_t i = 0; i < count; i++) {
        log_old_body(txn, batch->body[i]->prev, batch->body[i], token);
        shm_feed_write(control->feed_head + i, control->version + 1, SHM_UPDATED,
                       batch->node[i]->seq, users[i].id);
    }
    shm_txn_word(txn, &control->feed_head, control->feed_head + count);
    shm_reserve_log(actor);
    if (caa_unlikely(users[0].request != NULL))
        shm_requests_log(actor, users[0].request, users[0].id, control->version + 1);
    return SHM_OK;
}

static int replace_bodies(struct shm_actor *actor, const struct shm_new_user *users, size_t count)
{
    int rc = build_update(actor, users, count);
    if (rc != SHM_OK)
        return rc;
    shm_txn_seal(&actor->txn, shm_control()->version + 1);
    for (size_t i = 0; i < count; i++) {
        rcu_assign_pointer(actor->batch.node[i]->body, actor->batch.body[i]);
        if (i == count / 2)
            SHM_POINT("half published");
    }
    SHM_POINT("published");
    shm_txn_apply(&actor->txn);
    SHM_POINT("applied");
    return SHM_OK;
}

static int commit_update(struct shm_actor *actor, const struct shm_new_user *users, size_t count,
                         struct shm_conflict *conflict)
{
    bool renames = false;
    int rc = shm_find_targets(actor, users[0].id, sizeof(*users), count, conflict);
    if (rc == SHM_OK)
        rc = check_versions(&actor->batch, users, count, conflict);
    if (rc == SHM_OK)
        rc = look_at_keys(actor, users, count, conflict, &renames);
    if (rc != SHM_OK)
        return rc;
    return renames ? shm_rename(actor, users, conflict) : replace_bodies(actor, users, count);
}

int shm_users_update(struct shm_actor *actor, const struct shm_new_user *users, size_t count,
                     struct shm_conflict *conflict)
{
    static const struct shm_write_kind update = {
        .prepare = shm_prepare_id, .prepare_batch = prepare_update_batch, .commit = commit_update};
    int rc = shm_write_users(actor, &update, users, count, conflict);
    if (rc == SHM_OK)
        shm_reclaim_some(actor, count);
    return rc;
}
