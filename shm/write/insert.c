/* SPDX-License-Identifier: MIT */
/*
 * Inserts one user or a batch, in one transaction (txn.h describes the protocol).
 *
 * All new records are built in memory that no other process can reach yet, including the links
 * between the batch's own nodes; only the words that attach them are logged. The list calls after
 * the commit point write the same values into the new nodes again, so a death among them loses
 * nothing.
 */
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
#include "shm/disk.h"
#include "shm/error.h"
#include "shm/store.h"
#include "shm/table/feed.h"
#include "shm/table/hash_chain.h"
#include "shm/table/tower.h"
#include "shm/table/unique.h"
#include "shm/write/new_body.h"
#include "shm/write/reserve.h"
#include "shm/write/write_loop.h"

static inline struct cds_hlist_head *bucket_of(const struct shm_actor *actor, uint64_t hash)
{
    return &actor->buckets[hash & actor->bucket_mask];
}

static inline void prepare_insert(struct shm_actor *actor, const uint8_t id[SHM_ID_SIZE], size_t i)
{
    actor->batch.hash[i] = shm_hash_id(shm_header(), id);
    __builtin_prefetch(bucket_of(actor, actor->batch.hash[i]), 1);
}

/* Prefetches a batch's chains just before the lock is taken. Lines that were prefetched before a
 * long copy would have left the cache by now. */
static void touch_chains(const struct shm_actor *actor, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct cds_hlist_head *bucket = bucket_of(actor, actor->batch.hash[i]);
        __builtin_prefetch(__atomic_load_n(&bucket->next, __ATOMIC_RELAXED), 1);
    }
    if (actor->unique != 0)
        shm_unique_touch(actor, count);
}

static int prepare_insert_batch(struct shm_actor *actor, const struct shm_new_user *users,
                                size_t count)
{
    int rc = shm_reserve_bodies(actor, users, count, count);
    if (rc == SHM_OK)
        touch_chains(actor, count);
    return rc;
}

static void fill_new_node(struct shm_node *node, const uint8_t *id, uint64_t hash, uint64_t seq,
                          uint64_t version)
{
    memcpy(node->id, id, SHM_ID_SIZE);
    node->hash = hash;
    node->seq = seq;
    node->born = version;
    node->state = SHM_NODE_LIVE;
    memset(node->unique, 0, sizeof(node->unique));
    node->check = shm_check_node(node);
}

/* Links the node to its successor in the bucket, and logs the words that attach it. */
static int log_id_bucket(struct shm_actor *actor, struct shm_node *node, bool many,
                         struct shm_conflict *conflict)
{
    struct cds_hlist_head *bucket = bucket_of(actor, node->hash);
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

static int build_tower(struct shm_txn *txn, struct shm_tower **out, struct shm_node *node)
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

static void log_tower(struct shm_txn *txn, struct shm_tower *tower)
{
    for (unsigned level = 0; level < tower->height; level++) {
        if (level == txn->index_height)
            txn->index_tail[txn->index_height++] = shm_control()->index_tail[level];
        shm_txn_pointer(txn, txn->index_tail[level], tower);
        txn->index_tail[level] = &tower->next[level];
    }
}

static int build_user(struct shm_actor *actor, const struct shm_new_user *user, size_t i, bool many,
                      struct shm_conflict *conflict)
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
    fill_new_node(node, user->id, batch->hash[i], shm_control()->seq + 1 + i, version);
    __atomic_store_n(&node->body, body, __ATOMIC_RELAXED); /* see shm_chain_touch_body() */
    batch->node[i] = node;
    int rc = log_id_bucket(actor, node, many, conflict);
    if (rc == SHM_OK && actor->unique != 0)
        rc = shm_unique_log(actor, i, many, conflict);
    if (rc == SHM_OK)
        rc = build_tower(txn, &batch->tower[i], node);
    batch->recycled[i] = recycled;
    if (!recycled)
        node->died = SHM_NEVER;
    return rc;
}

/* Links the batch's nodes to a piece of the order list, and logs the words that attach it. */
static void log_order_tail(struct shm_actor *actor, size_t count)
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
static int build_users(struct shm_actor *actor, const struct shm_new_user *users, size_t count,
                       struct shm_conflict *conflict)
{
    const struct shm_control *control = shm_control();
    struct shm_txn *txn = &actor->txn;
    if (control->users + count > control->max_users)
        return SHM_EFULL;
    actor->batch.stamp++;
    shm_txn_begin(txn);
    shm_reserve_begin(actor);
    for (size_t i = 0; i < count; i++) {
        int rc = build_user(actor, &users[i], i, count > 1, conflict);
        if (rc != SHM_OK) {
            conflict->which = i;
            return rc;
        }
    }
    log_order_tail(actor, count);
    shm_txn_links_end(txn); /* towers have no list call: shm_txn_apply() publishes them */
    for (size_t i = 0; i < count; i++) {
        if (actor->batch.recycled[i])
            shm_txn_word(txn, &actor->batch.node[i]->died, SHM_NEVER);
        if (actor->batch.tower[i] != NULL)
            log_tower(txn, actor->batch.tower[i]);
    }
    return SHM_OK;
}

static int build_insert(struct shm_actor *actor, const struct shm_new_user *users, size_t count,
                        struct shm_conflict *conflict)
{
    struct shm_control *control = shm_control();
    struct shm_txn *txn = &actor->txn;
    int rc = build_users(actor, users, count, conflict);
    if (rc != SHM_OK)
        return rc;
    for (size_t i = 0; i < count; i++)
        shm_feed_write(control->feed_head + i, control->version + 1, SHM_CREATED,
                       control->seq + 1 + i, users[i].id);
    shm_txn_word(txn, &control->feed_head, control->feed_head + count);
    shm_txn_word(txn, &control->seq, control->seq + count);
    shm_txn_word(txn, &control->users, control->users + count);
    shm_reserve_log(actor);
    return SHM_OK;
}

/* Publishes the nodes after the commit point, by liburcu's list calls where there is one. */
static void publish_insert(struct shm_actor *actor, size_t count)
{
    struct shm_node **node = actor->batch.node;
    struct cds_list_head *order = &shm_control()->order;
    for (size_t i = 0; i < count; i++) {
        cds_hlist_add_head_rcu(&node[i]->by_id, bucket_of(actor, node[i]->hash));
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

static int commit_insert(struct shm_actor *actor, const struct shm_new_user *users, size_t count,
                         struct shm_conflict *conflict)
{
    int rc = build_insert(actor, users, count, conflict);
    if (rc != SHM_OK)
        return rc;
    shm_txn_seal(&actor->txn, shm_control()->version + 1);
    publish_insert(actor, count);
    shm_txn_apply(&actor->txn);
    SHM_POINT("applied");
    return SHM_OK;
}

int shm_users_insert(struct shm_actor *actor, const struct shm_new_user *users, size_t count,
                     struct shm_conflict *conflict)
{
    static const struct shm_write_kind insert = {.prepare = prepare_insert,
                                                 .takes_keys = true,
                                                 .prepare_batch = prepare_insert_batch,
                                                 .commit = commit_insert};
    return shm_write_users(actor, &insert, users, count, conflict);
}

/* ---- loading ---- */

/* Gives the node and the body that were just built their former number and versions. The node's
 * own version only has to be at most those of its bodies: no older version of the table can be
 * read. */
static void restore_identity(struct shm_actor *actor, const struct shm_loaded_user *loaded,
                             size_t i)
{
    struct shm_node *node = actor->batch.node[i];
    struct shm_body *body = node->body;
    node->seq = loaded->seq;
    node->born = 1;
    node->check = shm_check_node(node);
    if (actor->batch.tower[i] != NULL)
        actor->batch.tower[i]->seq = loaded->seq;
    body->born = loaded->version;
    body->check = shm_check_body(actor->batch.check[i], loaded->version);
}

/* Whether the users continue the table in the order of their creation. */
static bool loads_in_order(const struct shm_loaded_user *loaded, size_t count)
{
    uint64_t last = shm_control()->seq;
    for (size_t i = 0; i < count; last = loaded[i].seq, i++)
        if (loaded[i].seq <= last || loaded[i].seq >= SHM_COUNT_MAX || loaded[i].version == 0 ||
            loaded[i].version >= SHM_COUNT_MAX)
            return false;
    return true;
}

/* As commit_insert(), without a version, and without entries in the feed. */
static int commit_load(struct shm_actor *actor, const struct shm_new_user *users, size_t count,
                       struct shm_conflict *conflict)
{
    struct shm_control *control = shm_control();
    const struct shm_loaded_user *loaded = actor->batch.loaded;
    uint64_t newest = control->feed_from;
    if (!loads_in_order(loaded, count))
        return SHM_EINVAL;
    int rc = build_users(actor, users, count, conflict);
    if (rc != SHM_OK)
        return rc;
    for (size_t i = 0; i < count; i++) {
        restore_identity(actor, &loaded[i], i);
        newest = loaded[i].version > newest ? loaded[i].version : newest;
    }
    shm_txn_word(&actor->txn, &control->seq, loaded[count - 1].seq);
    shm_txn_word(&actor->txn, &control->users, control->users + count);
    shm_txn_word(&actor->txn, &control->feed_from, newest);
    shm_reserve_log(actor);
    shm_txn_seal(&actor->txn, 0);
    publish_insert(actor, count);
    shm_txn_apply(&actor->txn);
    return SHM_OK;
}

int shm_load_users(struct shm_actor *actor, const struct shm_loaded_user *users, size_t count,
                   struct shm_conflict *conflict)
{
    static const struct shm_write_kind load = {.prepare = prepare_insert,
                                               .takes_keys = true,
                                               .prepare_batch = prepare_insert_batch,
                                               .commit = commit_load};
    struct shm_new_user plain[SHM_BATCH_MAX];
    if (count == 0 || count > SHM_BATCH_MAX || shm_control()->version != 0)
        return SHM_EINVAL;
    for (size_t i = 0; i < count; i++)
        plain[i] = users[i].user;
    actor->batch.loaded = users;
    return shm_write_users(actor, &load, plain, count, conflict);
}
