/* SPDX-License-Identifier: MIT */
#include "shm/write/rename.h"

#include <urcu/compiler.h>

#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/core/test_points.h"
#include "shm/core/txn.h"
#include "shm/core/write_batch.h"
#include "shm/error.h"
#include "shm/table/feed.h"
#include "shm/table/hash_chain.h"
#include "shm/table/requests.h"
#include "shm/table/retire.h"
#include "shm/table/tower.h"
#include "shm/table/unique.h"
#include "shm/write/build_insert.h"
#include "shm/write/new_body.h"
#include "shm/write/reserve.h"

/* Builds the new node and its body, and logs the words that attach it to the lists. */
static int build_renamed(struct shm_actor *actor, const struct shm_new_user *user,
                         struct shm_node *former, struct shm_conflict *conflict)
{
    struct shm_txn *txn = &actor->txn;
    struct shm_batch *batch = &actor->batch;
    bool recycled;
    struct shm_node *node = shm_alloc_node(txn, &recycled);
    struct shm_body *body = node != NULL ? shm_body_build(actor, user, 0, node, NULL) : NULL;
    if (body == NULL)
        return SHM_ESPACE;
    shm_insert_fill_node(node, user->id, batch->hash[0], former->seq, shm_control()->version + 1,
                         SHM_NODE_LIVE | SHM_NODE_RENAMED);
    __atomic_store_n(&node->body, body, __ATOMIC_RELAXED); /* see shm_chain_touch_body() */
    batch->node[0] = node;
    batch->recycled[0] = recycled;
    struct cds_hlist_head *bucket = shm_insert_bucket(actor, node->hash);
    shm_chain_log_add(txn, bucket, bucket->next, &node->by_id, NULL);
    int rc = shm_unique_log(actor, 0, false, former, conflict);
    if (rc != SHM_OK)
        return rc;
    node->order.next = &former->order;
    node->order.prev = former->order.prev;
    shm_txn_pointer(txn, &former->order.prev->next, &node->order);
    shm_txn_pointer(txn, &former->order.prev, &node->order);
    shm_txn_links_end(txn);
    if (!recycled)
        node->died = SHM_NEVER;
    return SHM_OK;
}

/* Logs all other words: the old node's end, the tower, the feed. */
static void log_rename(struct shm_actor *actor, struct shm_node *former)
{
    struct shm_control *control = shm_control();
    struct shm_txn *txn = &actor->txn;
    struct shm_node *node = actor->batch.node[0];
    struct shm_tower *tower = shm_tower_height(node->hash) != 0 ? shm_tower_of(former->seq) : NULL;
    if (actor->batch.recycled[0])
        shm_txn_word(txn, &node->died, SHM_NEVER);
    if (tower != NULL)
        shm_txn_pointer(txn, &tower->node, node);
#ifndef SHM_MUTANT_KEEP_NAME
    shm_retire_node(txn, former, node->born, shm_txn_token(txn));
#endif
    shm_feed_write(control->feed_head, node->born, SHM_UPDATED, node->seq, node->id);
    shm_txn_word(txn, &control->feed_head, control->feed_head + 1);
}

int shm_rename(struct shm_actor *actor, const struct shm_new_user *user,
               struct shm_conflict *conflict)
{
    struct shm_node *former = actor->batch.node[0];
    int rc = shm_unique_prepare(actor, user, 1);
    if (rc != SHM_OK)
        return rc;
    shm_txn_begin(&actor->txn);
    shm_reserve_begin(actor);
    rc = build_renamed(actor, user, former, conflict);
    if (rc != SHM_OK)
        return rc;
    log_rename(actor, former);
    if (caa_unlikely(user->request != NULL))
        shm_requests_log(actor, user->request, user->id, actor->batch.node[0]->born);
    struct shm_node *node = actor->batch.node[0];
    shm_txn_seal(&actor->txn, node->born);
    cds_hlist_add_head_rcu(&node->by_id, shm_insert_bucket(actor, node->hash));
    SHM_POINT("half published");
    shm_unique_publish(actor, 1);
    cds_list_add_tail_rcu(&node->order, &former->order); /* in front of it */
#ifdef SHM_MUTANT_EARLY_NAME
    __atomic_store_n(&shm_control()->published, node->born, __ATOMIC_RELEASE);
#endif
    SHM_POINT("published");
    shm_txn_apply(&actor->txn);
    SHM_POINT("applied");
    return SHM_OK;
}
