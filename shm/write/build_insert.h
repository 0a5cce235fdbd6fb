/* SPDX-License-Identifier: MIT */
/*
 * Building new users inside a transaction (txn.h describes the protocol): what inserting and
 * loading share. The functions are in line, so that an insert, which is frequent, pays for no call.
 *
 * All new records are built in memory that no other process can reach yet, including the links
 * between the batch's own nodes; only the words that attach them are logged. The list calls after
 * the commit point write the same values into the new nodes again, so a death among them loses
 * nothing.
 */
#ifndef ROSTERD_SHM_WRITE_BUILD_INSERT_H
#define ROSTERD_SHM_WRITE_BUILD_INSERT_H

#include <string.h>

#include <urcu/pointer.h>
#include <urcu/rcuhlist.h>
#include <urcu/rculist.h>

#include "shm/core/actor_handle.h"
#include "shm/core/alloc.h"
#include "shm/core/hash.h"
#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/core/test_points.h"
#include "shm/core/txn.h"
#include "shm/core/write_batch.h"
#include "shm/error.h"
#include "shm/store.h"
#include "shm/table/hash_chain.h"
#include "shm/table/tower.h"
#include "shm/table/unique.h"
#include "shm/write/new_body.h"
#include "shm/write/reserve.h"

static inline struct cds_hlist_head *shm_insert_bucket(const struct shm_actor *actor, uint64_t hash)
{
    return &actor->buckets[hash & actor->bucket_mask];
}

static inline void shm_insert_prepare(struct shm_actor *actor, const uint8_t id[SHM_ID_SIZE],
                                      size_t i)
{
    actor->batch.hash[i] = shm_hash_id(shm_header(), id);
    __builtin_prefetch(shm_insert_bucket(actor, actor->batch.hash[i]), 1);
}

/* Prefetches a batch's chains just before the lock is taken. Lines that were prefetched before a
 * long copy would have left the cache by now. */
static inline void shm_insert_touch(const struct shm_actor *actor, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct cds_hlist_head *bucket = shm_insert_bucket(actor, actor->batch.hash[i]);
        __builtin_prefetch(__atomic_load_n(&bucket->next, __ATOMIC_RELAXED), 1);
    }
    if (actor->unique != 0)
        shm_unique_touch(actor, count);
}

static inline int shm_insert_prepare_batch(struct shm_actor *actor,
                                           const struct shm_new_user *users, size_t count)
{
    int rc = shm_reserve_bodies(actor, users, count, count);
    if (rc == SHM_OK)
        shm_insert_touch(actor, count);
    return rc;
}

static inline void shm_insert_fill_node(struct shm_node *node, const uint8_t *id, uint64_t hash,
                                        uint64_t seq, uint64_t version, uint32_t state)
{
    memcpy(node->id, id, SHM_ID_SIZE);
    node->hash = hash;
    node->seq = seq;
    __atomic_store_n(&node->born, version, __ATOMIC_RELAXED);
    __atomic_store_n(&node->state, state, __ATOMIC_RELEASE); /* after born: cursor.c */
    memset(node->unique, 0, sizeof(node->unique));
    node->check = shm_check_node(node);
}

/* Links the node to its successor in the bucket, and logs the words that attach it. */
static inline int shm_insert_log_bucket(struct shm_actor *actor, struct shm_node *node, bool many,
                                        struct shm_conflict *conflict)
{
    struct cds_hlist_head *bucket = shm_insert_bucket(actor, node->hash);
    struct cds_hlist_node **mine = many ? shm_chain_pending(&actor->batch, bucket) : NULL;
    struct cds_hlist_node *first = shm_chain_first(bucket, mine);
    const struct shm_node *other = shm_chain_find_id(first, node->id);
    if (other != NULL && shm_chain_lives(other)) {
        conflict->version = shm_chain_committed(other);
        return SHM_EEXIST;
    }
    shm_chain_log_add(&actor->txn, bucket, first, &node->by_id, mine);
    return SHM_OK;
}

static inline int shm_insert_build_tower(struct shm_txn *txn, struct shm_tower **out,
                                         struct shm_node *node)
{
    unsigned height = shm_tower_height(node->hash);
    *out = NULL;
    if (height == 0)
        return SHM_OK;
    struct shm_tower *tower = shm_alloc_block(txn, sizeof(*tower) + height * sizeof(tower));
    if (tower == NULL)
        return SHM_ESPACE;
    tower->node = node;
    tower->seq = node->seq;
    tower->height = height;
    for (unsigned level = 0; level < height; level++)
        tower->next[level] = NULL;
    *out = tower;
    return SHM_OK;
}

static inline void shm_insert_log_tower(struct shm_txn *txn, struct shm_tower *tower)
{
    for (unsigned level = 0; level < tower->height; level++) {
        if (level == txn->index_height)
            txn->index_tail[txn->index_height++] = shm_control()->index_tail[level];
        shm_txn_pointer(txn, txn->index_tail[level], tower);
        txn->index_tail[level] = &tower->next[level];
    }
}

static inline int shm_insert_build_user(struct shm_actor *actor, const struct shm_new_user *user,
                                        size_t i, bool many, struct shm_conflict *conflict)
{
    struct shm_txn *txn = &actor->txn;
    struct shm_batch *batch = &actor->batch;
    uint64_t version = shm_control()->version + 1;
    bool recycled;
    struct shm_node *node = shm_alloc_node(txn, &recycled);
    if (node == NULL)
        return SHM_ESPACE;
    struct shm_body *body = shm_body_build(actor, user, i, node, NULL);
    if (body == NULL)
        return SHM_ESPACE;
    shm_insert_fill_node(node, user->id, batch->hash[i], shm_control()->seq + 1 + i, version,
                         SHM_NODE_LIVE);
    __atomic_store_n(&node->body, body, __ATOMIC_RELAXED); /* see shm_chain_touch_body() */
    batch->node[i] = node;
    int rc = shm_insert_log_bucket(actor, node, many, conflict);
    if (rc == SHM_OK && actor->unique != 0)
        rc = shm_unique_log(actor, i, many, NULL, conflict);
    if (rc == SHM_OK)
        rc = shm_insert_build_tower(txn, &batch->tower[i], node);
    batch->recycled[i] = recycled;
    if (!recycled)
        node->died = SHM_NEVER;
    return rc;
}

/* Links the batch's nodes to a piece of the order list, and logs the words that attach it. */
static inline void shm_insert_log_order(struct shm_actor *actor, size_t count)
{
    struct shm_node **node = actor->batch.node;
    struct cds_list_head *order = &shm_control()->order;
    for (size_t i = 0; i < count; i++) {
        node[i]->order.prev = i > 0 ? &node[i - 1]->order : order->prev;
        node[i]->order.next = i + 1 < count ? &node[i + 1]->order : order;
    }
    shm_txn_pointer(&actor->txn, &order->prev->next, &node[0]->order);
    shm_txn_pointer(&actor->txn, &order->prev, &node[count - 1]->order);
}

/* Builds the nodes and bodies, and logs the words that attach them. */
static inline int shm_insert_build(struct shm_actor *actor, const struct shm_new_user *users,
                                   size_t count, struct shm_conflict *conflict)
{
    const struct shm_control *control = shm_control();
    struct shm_txn *txn = &actor->txn;
    if (control->users + count > control->max_users)
        return SHM_EFULL;
    actor->batch.stamp++;
    shm_txn_begin(txn);
    shm_reserve_begin(actor);
    for (size_t i = 0; i < count; i++) {
        int rc = shm_insert_build_user(actor, &users[i], i, count > 1, conflict);
        if (rc != SHM_OK) {
            conflict->which = i;
            return rc;
        }
    }
    shm_insert_log_order(actor, count);
    shm_txn_links_end(txn); /* towers have no list call: shm_txn_apply() publishes them */
    for (size_t i = 0; i < count; i++) {
        if (actor->batch.recycled[i])
            shm_txn_word(txn, &actor->batch.node[i]->died, SHM_NEVER);
        if (actor->batch.tower[i] != NULL)
            shm_insert_log_tower(txn, actor->batch.tower[i]);
    }
    return SHM_OK;
}

/* Publishes the nodes after the commit point, by liburcu's list calls where there is one. */
static inline void shm_insert_publish(struct shm_actor *actor, size_t count)
{
    struct shm_node **node = actor->batch.node;
    struct cds_list_head *order = &shm_control()->order;
    for (size_t i = 0; i < count; i++) {
        cds_hlist_add_head_rcu(&node[i]->by_id, shm_insert_bucket(actor, node[i]->hash));
        if (i == count / 2)
            SHM_POINT("half published");
    }
    if (actor->unique != 0)
        shm_unique_publish(actor, count);
    if (count == 1) {
        cds_list_add_tail_rcu(&node[0]->order, order);
    } else {
        rcu_assign_pointer(order->prev->next, &node[0]->order);
        order->prev = &node[count - 1]->order;
    }
    SHM_POINT("published");
}

#endif
