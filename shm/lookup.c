/* SPDX-License-Identifier: MIT */
/*
 * Lookup by id or by a unique key, without a lock.
 *
 * `version` is loaded first, with acquire: it pairs with the release store that
 * ends each commit, so every node and body born at or before it is linked and
 * whole. What a later commit is linking meanwhile may be met, and is skipped by
 * its `born`; a writer publishes a node with rcu_assign_pointer after filling
 * it, which pairs with rcu_dereference here. An id can occur twice in a chain,
 * once deleted and once created again: the rule of versions picks one.
 */
#include "config.h"

#include <urcu/pointer.h>
#include <urcu/rcuhlist.h>

#include "shm/grace.h"
#include "shm/unique.h"

static inline bool same_id(const uint8_t *a, const uint8_t *b)
{
    uint64_t x[2], y[2];
    memcpy(x, a, sizeof(x));
    memcpy(y, b, sizeof(y));
    return x[0] == y[0] && x[1] == y[1];
}

/* The body of this version, or NULL where it is deleted or not born yet. */
static const struct shm_body *body_at(const struct shm_node *node, uint64_t version)
{
    const struct shm_body *body = rcu_dereference(node->body);
    while (body != NULL && body->born > version)
        body = rcu_dereference(body->prev);
    return body != NULL && shm_visible(body->born, &body->died, version) ? body : NULL;
}

static inline void fill(struct shm_user *user, const struct shm_node *node,
                        const struct shm_body *body)
{
    user->id = node->id;
    user->body = body->bytes;
    user->body_len = body->length;
    user->seq = node->seq;
    user->version = body->born;
}

int shm_user_find(struct shm_actor *actor, const uint8_t id[SHM_ID_SIZE], struct shm_user *user)
{
    struct cds_hlist_node *pos;
    shm_grace_online(actor);
    struct cds_hlist_head *bucket =
        &actor->buckets[shm_hash_id(shm_header(), id) & actor->bucket_mask];
    uint64_t version = shm_version();
    /* cds_hlist_for_each_entry_rcu() would step from NULL to its entry at the end */
    for (pos = rcu_dereference(bucket->next); pos != NULL; pos = rcu_dereference(pos->next)) {
        const struct shm_node *node = caa_container_of(pos, struct shm_node, by_id);
        if (!same_id(node->id, id))
            continue;
        const struct shm_body *body = body_at(node, version);
        if (body == NULL)
            continue;
        fill(user, node, body);
        return SHM_OK;
    }
    return SHM_ENOENT;
}

/* The same walk over an index of keys. A deleted user's node stays in its chain for a while, beside
 * that of the user who has the key now: the rule of versions picks one here too. */
int shm_user_find_key(struct shm_actor *actor, unsigned key, const uint8_t *value, uint32_t len,
                      struct shm_user *user)
{
    struct cds_hlist_node *pos;
    shm_key_of *key_of = actor->store->key_of;
    uint8_t other[SHM_KEY_MAX];
    if (key >= SHM_KEYS || (actor->unique >> key & 1) == 0 || key_of == NULL)
        return SHM_EINVAL;
    if (len == 0 || len > SHM_KEY_MAX)
        return SHM_ENOENT;
    shm_grace_online(actor);
    struct cds_hlist_head *bucket =
        shm_unique_bucket(&actor->by_key[key], shm_unique_hash(shm_header(), key, value, len));
    uint64_t version = shm_version();
    for (pos = rcu_dereference(bucket->next); pos != NULL; pos = rcu_dereference(pos->next)) {
        const struct shm_node *node = shm_unique_node(pos, key);
        const struct shm_body *body = body_at(node, version);
        if (body == NULL || shm_unique_key(key_of, key, body, other) != len ||
            memcmp(other, value, len) != 0)
            continue;
        fill(user, node, body);
        return SHM_OK;
    }
    return SHM_ENOENT;
}
