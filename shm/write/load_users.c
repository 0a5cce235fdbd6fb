/* SPDX-License-Identifier: MIT */
/* Loads users into a new segment, with the numbers and versions that they had; build_insert.h
 * explains the transactions. durable/load_end.c has the end of the loading. */
#include "shm/core/actor_handle.h"
#include "shm/core/hash.h"
#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/core/txn.h"
#include "shm/disk.h"
#include "shm/error.h"
#include "shm/store.h"
#include "shm/write/build_insert.h"
#include "shm/write/reserve.h"
#include "shm/write/write_loop.h"

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
    int rc = shm_insert_build(actor, users, count, conflict);
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
    shm_insert_publish(actor, count);
    shm_txn_apply(&actor->txn);
    return SHM_OK;
}

int shm_load_users(struct shm_actor *actor, const struct shm_loaded_user *users, size_t count,
                   struct shm_conflict *conflict)
{
    static const struct shm_write_kind load = {.prepare = shm_insert_prepare,
                                               .takes_keys = true,
                                               .prepare_batch = shm_insert_prepare_batch,
                                               .commit = commit_load};
    struct shm_new_user plain[SHM_BATCH_MAX];
    if (count == 0 || count > SHM_BATCH_MAX || shm_control()->version != 0)
        return SHM_EINVAL;
    for (size_t i = 0; i < count; i++)
        plain[i] = users[i].user;
    actor->batch.loaded = users;
    return shm_write_users(actor, &load, plain, count, conflict);
}
