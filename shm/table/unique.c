/* SPDX-License-Identifier: MIT */
/* The writers' half of unique keys. unique.h explains the index; lookup.c has the readers' half. */
#include "shm/table/unique.h"

#include <stdlib.h>
#include <string.h>

#include <urcu/pointer.h>
#include <urcu/rcuhlist.h>

#include "shm/core/actor_handle.h"
#include "shm/core/mapping.h"
#include "shm/core/store_handle.h"
#include "shm/core/test_points.h"
#include "shm/error.h"
#include "shm/table/hash_chain.h"

/* Finds the live user with this key, in the chain that begins with `first`; called under the writer
 * lock. The user may belong to the transaction that is being built. NULL: the key is free. */
static struct shm_node *find_key_owner(const struct cds_hlist_node *first, unsigned key,
                                       shm_key_of *key_of, const uint8_t *value, uint32_t len)
{
    uint8_t other[SHM_KEY_MAX];
    for (const struct cds_hlist_node *at = first; at != NULL; at = at->next) {
        struct shm_node *node = shm_unique_node(at, key);
        SHM_POINT("compared");
        if (shm_unique_key(key_of, key, node->body, other) == len &&
            memcmp(other, value, len) == 0) /* the first node decides: hash_chain.h */
            return shm_chain_lives(node) ? node : NULL;
    }
    return NULL;
}

int shm_unique_join(struct shm_actor *actor)
{
    for (unsigned key = 0; key < SHM_KEYS; key++) {
        actor->by_key[key] = shm_control()->unique[key];
        actor->key_from[key] = shm_control()->index_from[key];
        if (actor->by_key[key].buckets != NULL)
            actor->unique |= 1u << key;
    }
    if (actor->unique == 0)
        return SHM_OK;
    actor->keys = malloc(sizeof(*actor->keys));
    return actor->keys != NULL ? SHM_OK : SHM_ESYS;
}

void shm_unique_leave(struct shm_actor *actor)
{
    free(actor->keys);
}

void shm_unique_touch(const struct shm_actor *actor, size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (unsigned key = 0; key < SHM_KEYS; key++) {
            const struct shm_key *has = &actor->keys->of[i][key];
            if (has->len != 0)
                __builtin_prefetch(__atomic_load_n(&has->bucket->next, __ATOMIC_RELAXED), 1);
        }
    for (size_t i = 0; i < count; i++)
        for (unsigned key = 0; key < SHM_KEYS; key++) {
            const struct shm_key *has = &actor->keys->of[i][key];
            const struct cds_hlist_node *first =
                has->len != 0 ? __atomic_load_n(&has->bucket->next, __ATOMIC_ACQUIRE) : NULL;
            if (first != NULL)
                shm_chain_touch_body(shm_unique_node(first, key));
        }
}

int shm_unique_prepare(struct shm_actor *actor, const struct shm_new_user *users, size_t count)
{
    shm_key_of *key_of = actor->store->key_of;
    if (key_of == NULL)
        return SHM_EINVAL;
    for (size_t i = 0; i < count; i++) {
        for (unsigned key = 0; key < SHM_KEYS; key++) {
            struct shm_key *has = &actor->keys->of[i][key];
            has->len = 0;
            if ((actor->unique >> key & 1) == 0)
                continue;
            uint32_t len = key_of(key, users[i].body, users[i].body_len, has->bytes);
            if (len == 0 || len > SHM_KEY_MAX)
                continue;
            has->len = len;
            has->bucket = shm_unique_bucket(&actor->by_key[key],
                                            shm_unique_hash(shm_header(), key, has->bytes, len));
            __builtin_prefetch(has->bucket, 1);
        }
    }
    return SHM_OK;
}

int shm_unique_log(struct shm_actor *actor, size_t i, bool many, const struct shm_node *former,
                   struct shm_conflict *conflict)
{
    struct shm_node *node = actor->batch.node[i];
    for (unsigned key = 0; key < SHM_KEYS; key++) {
        const struct shm_key *has = &actor->keys->of[i][key];
        if (has->len == 0)
            continue;
        struct cds_hlist_node **mine = many ? shm_chain_pending(&actor->batch, has->bucket) : NULL;
        struct cds_hlist_node *first = shm_chain_first(has->bucket, mine);
        const struct shm_node *other =
            find_key_owner(first, key, actor->store->key_of, has->bytes, has->len);
        if (other != NULL && other != former) {
            conflict->key = key;
            conflict->version = shm_chain_committed(other);
            return SHM_EKEY;
        }
        shm_chain_log_add(&actor->txn, has->bucket, first, &node->unique[key], mine);
    }
    return SHM_OK;
}

void shm_unique_publish(struct shm_actor *actor, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (unsigned key = 0; key < SHM_KEYS; key++) {
            const struct shm_key *has = &actor->keys->of[i][key];
            if (has->len != 0)
                cds_hlist_add_head_rcu(&actor->batch.node[i]->unique[key], has->bucket);
        }
        if (i == count / 2)
            SHM_POINT("half indexed");
    }
}

bool shm_unique_changes(const struct shm_actor *actor, shm_key_of *key_of,
                        const struct shm_body *old, const uint8_t *body, uint32_t len,
                        unsigned *key)
{
    uint8_t was[SHM_KEY_MAX], is[SHM_KEY_MAX];
    for (*key = 0; *key < SHM_KEYS; (*key)++) {
        if ((actor->unique >> *key & 1) == 0)
            continue;
        uint32_t was_len = shm_unique_key(key_of, *key, old, was);
        uint32_t is_len = key_of(*key, body, len, is);
        if (is_len > SHM_KEY_MAX)
            is_len = 0;
        if (was_len != is_len || memcmp(was, is, is_len) != 0)
            return true;
    }
    return false;
}
