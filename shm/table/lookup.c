/* SPDX-License-Identifier: MIT */
/*
 * Lookup by id or by a unique key, without a lock.
 *
 * `published` is loaded first, with acquire. The load pairs with the release store that ends each
 * commit, or its publication, so every node and body born at or before that version is linked and
 * complete. A lookup may meet records of a later commit, and skips them because of `born`. A writer
 * publishes a node with rcu_assign_pointer after it has filled the node, which pairs with
 * rcu_dereference here. An id or a key can occur many times in a chain, if it was deleted and
 * created again: the first node that is not too young decides (hash_chain.h).
 */
#include <assert.h>
#include <string.h>

#include <urcu/compiler.h>
#include <urcu/pointer.h>
#include <urcu/rcuhlist.h>

#include "base/container_of.h"
#include "shm/core/actor_handle.h"
#include "shm/core/grace.h"
#include "shm/core/hash.h"
#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/core/publication.h"
#include "shm/core/store_handle.h"
#include "shm/core/test_points.h"
#include "shm/disk.h"
#include "shm/error.h"
#include "shm/store.h"
#include "shm/table/unique.h"

static inline bool same_id(const uint8_t *a, const uint8_t *b)
{
    uint64_t x[2], y[2];
    memcpy(x, a, sizeof(x));
    memcpy(y, b, sizeof(y));
    return x[0] == y[0] && x[1] == y[1];
}

/* A user's first body usually lies behind its node, so this prefetches it together with the node,
 * before the node's pointer to the body is known. If the body lies elsewhere, only bandwidth is
 * lost. */
static inline void prefetch_body(const struct shm_node *node)
{
    const struct shm_body *body = (const void *)(node + 1);
    __builtin_prefetch(&body->born);
    __builtin_prefetch(body->bytes + SHM_LINE / 2);
}

static inline uint64_t version_to_see(void)
{
    uint64_t version = shm_published_version();
#ifdef SHM_MUTANT_NO_VISIBILITY
    version = SHM_NEVER - 1;
#endif
    SHM_POINT("version seen");
    return version;
}

/* The newest body born at or before this version; NULL: the user was not born yet. */
static inline __attribute__((always_inline)) const struct shm_body *
newest_body_at(const struct shm_node *node, uint64_t version)
{
    const struct shm_body *body = rcu_dereference(node->body);
    SHM_POINT("reading");
    while (body != NULL && body->born > version) {
        SHM_POINT("passed a body");
        body = rcu_dereference(body->prev);
    }
    return body;
}

/* Whether the version shows the body from newest_body_at(). If not, the user was deleted by then.
 */
static inline bool is_there(const struct shm_body *body, uint64_t version)
{
    return version < __atomic_load_n(&body->died, __ATOMIC_RELAXED);
}

static inline void fill_user(struct shm_user *user, const struct shm_node *node,
                             const struct shm_body *body)
{
    user->id = node->id;
    user->body = body->bytes;
    user->body_len = shm_body_length(body);
    user->hidden_len = shm_body_hidden(body);
    user->seq = node->seq;
    user->version = body->born;
}

/* Returns the user whose node decides a lookup, unless it was deleted by then. */
static inline int show_user(struct shm_user *user, const struct shm_node *node,
                            const struct shm_body *body, uint64_t version)
{
    if (!is_there(body, version))
        return SHM_ENOENT;
    fill_user(user, node, body);
    return SHM_OK;
}

static inline __attribute__((always_inline)) int find_in(const struct cds_hlist_head *bucket,
                                                         const uint8_t id[SHM_ID_SIZE],
                                                         uint64_t version, struct shm_user *user)
{
    struct cds_hlist_node *pos;
    /* cds_hlist_for_each_entry_rcu() would step from NULL to its entry at the end */
    for (pos = rcu_dereference(bucket->next); pos != NULL; pos = rcu_dereference(pos->next)) {
        const struct shm_node *node = container_of(pos, struct shm_node, by_id);
        prefetch_body(node);
        if (!same_id(node->id, id))
            continue;
        const struct shm_body *body = newest_body_at(node, version);
        if (body == NULL)
            continue;
        return show_user(user, node, body, version);
    }
    return SHM_ENOENT;
}

struct key_value {
    unsigned key;
    uint32_t len;
    const uint8_t *bytes;
};

static bool has_key(shm_key_of *key_of, const struct shm_body *body, const struct key_value *value)
{
    uint8_t other[SHM_KEY_MAX];
    return shm_unique_key(key_of, value->key, body, other) == value->len &&
           memcmp(other, value->bytes, value->len) == 0;
}

/* Looks up an id or, if id is NULL, a value of a key without the hash table: correct, but slow. */
static int find_in_order(const uint8_t *id, shm_key_of *key_of, const struct key_value *value,
                         uint64_t version, struct shm_user *user)
{
    const struct cds_list_head *end = &shm_control()->order;
    for (const struct cds_list_head *at = rcu_dereference(end->next); at != end;
         at = rcu_dereference(at->next)) {
        const struct shm_node *node = container_of(at, struct shm_node, order);
        if (id != NULL && !same_id(node->id, id))
            continue;
        const struct shm_body *body = newest_body_at(node, version);
        if (body == NULL || (id == NULL && !has_key(key_of, body, value)))
            continue;
        if (!is_there(body, version)) /* the list is oldest first: a later node may match */
            continue;
        fill_user(user, node, body);
        return SHM_OK;
    }
    return SHM_ENOENT;
}

/* A reading tool may look up a user while a new owner moves the users to a larger table
 * (rebuild.c). During the move a chain may lead into the other table, so only a found user is
 * certain; if the chain has none, the order list is searched. The old table is not freed while this
 * actor is online. */
static __attribute__((noinline, cold)) int find_as_tool(const uint8_t id[SHM_ID_SIZE],
                                                        struct shm_user *user)
{
    const struct shm_control *control = shm_control();
    uint64_t version = version_to_see();
    uint64_t count = __atomic_load_n(&control->ids.count, __ATOMIC_ACQUIRE);
    struct cds_hlist_head *buckets = rcu_dereference(control->ids.buckets);
    bool moving = __atomic_load_n(&control->rebuild.to.buckets, __ATOMIC_ACQUIRE) != NULL;
    int rc = SHM_ENOENT;
    if (!moving)
        rc = find_in(&buckets[shm_hash_id(shm_header(), id) & (count - 1)], id, version, user);
    if (rc == SHM_OK)
        return rc;
    moving = moving || __atomic_load_n(&control->rebuild.to.buckets, __ATOMIC_ACQUIRE) != NULL ||
             rcu_dereference(control->ids.buckets) != buckets;
    return moving ? find_in_order(id, NULL, NULL, version, user) : rc;
}

static inline struct cds_hlist_head *id_bucket(const struct shm_actor *actor,
                                               const uint8_t id[SHM_ID_SIZE])
{
    return &actor->buckets[shm_hash_keyed(actor->secret, id) & actor->bucket_mask];
}

int shm_user_find(struct shm_actor *actor, const uint8_t id[SHM_ID_SIZE], struct shm_user *user)
{
    shm_grace_online(actor);
    if (caa_unlikely(actor->buckets == NULL))
        return find_as_tool(id, user);
    return find_in(id_bucket(actor, id), id, version_to_see(), user);
}

/* Prefetches the buckets, and then the first node and body of each chain. A bucket arrives while
 * the next ones are asked for. */
static inline void fetch_chains(const struct shm_actor *actor, const uint8_t (*ids)[SHM_ID_SIZE],
                                size_t count, struct cds_hlist_head *buckets[])
{
    for (size_t i = 0; i < count; i++) {
        buckets[i] = id_bucket(actor, ids[i]);
        __builtin_prefetch(buckets[i]);
    }
    for (size_t i = 0; i < count; i++) {
        const struct cds_hlist_node *first = rcu_dereference(buckets[i]->next);
        const struct shm_node *node = container_of(first, struct shm_node, by_id);
        if (first == NULL)
            continue;
        __builtin_prefetch(first);
        prefetch_body(node);
    }
}

void shm_users_find(struct shm_actor *actor, const uint8_t (*ids)[SHM_ID_SIZE], size_t count,
                    struct shm_user *users)
{
    struct cds_hlist_head *buckets[SHM_FIND_MAX];
    assert(count <= SHM_FIND_MAX);
    shm_grace_online(actor);
    bool as_tool = actor->buckets == NULL;
    uint64_t version = version_to_see();
    if (!as_tool)
        fetch_chains(actor, ids, count, buckets);
    for (size_t i = 0; i < count; i++) {
        int rc = as_tool ? find_as_tool(ids[i], &users[i])
                         : find_in(buckets[i], ids[i], version, &users[i]);
        if (rc != SHM_OK)
            users[i].id = NULL;
    }
}

/* Reclaim keeps what a version from `published` on shows (reclaim.c), so the argument of
 * hash_chain.h holds for it, too. */
int shm_user_find_at(struct shm_actor *actor, const uint8_t id[SHM_ID_SIZE], uint64_t version,
                     struct shm_user *user)
{
    shm_grace_online(actor);
    if (actor->buckets == NULL)
        return SHM_EINVAL;
    return find_in(id_bucket(actor, id), id, version, user);
}

/* A deleted user's node stays in its chain for a while, behind the node of the user that has the
 * key now. Its key is compared too, because that node may be the one that decides. */
static inline __attribute__((always_inline)) int
find_key_in(const struct shm_table *table, shm_key_of *key_of, const struct key_value *value,
            uint64_t version, struct shm_user *user)
{
    struct cds_hlist_node *pos;
    struct cds_hlist_head *bucket = shm_unique_bucket(
        table, shm_unique_hash(shm_header(), value->key, value->bytes, value->len));
    for (pos = rcu_dereference(bucket->next); pos != NULL; pos = rcu_dereference(pos->next)) {
        const struct shm_node *node = shm_unique_node(pos, value->key);
        const struct shm_body *body = newest_body_at(node, version);
        if (body == NULL || !has_key(key_of, body, value))
            continue;
        return show_user(user, node, body, version);
    }
    return SHM_ENOENT;
}

/* As find_as_tool(), for keys. A table's count is written after its buckets, so the count is read
 * first. */
static __attribute__((noinline, cold)) int
find_key_as_tool(shm_key_of *key_of, const struct key_value *value, struct shm_user *user)
{
    const struct shm_control *control = shm_control();
    const struct shm_table *now = &control->unique[value->key];
    uint64_t version = version_to_see();
    bool moving = __atomic_load_n(&control->rebuild.to.buckets, __ATOMIC_ACQUIRE) != NULL;
    struct shm_table table = {.count = __atomic_load_n(&now->count, __ATOMIC_ACQUIRE)};
    table.buckets = rcu_dereference(now->buckets);
    SHM_POINT("index read");
    int rc = SHM_ENOENT;
    if (table.count == 0 || table.buckets == NULL)
        return SHM_EINVAL;
    moving =
        moving || version < __atomic_load_n(&control->index_from[value->key], __ATOMIC_RELAXED);
    if (!moving)
        rc = find_key_in(&table, key_of, value, version, user);
    if (rc == SHM_OK)
        return rc;
    moving = moving || __atomic_load_n(&control->rebuild.to.buckets, __ATOMIC_ACQUIRE) != NULL ||
             rcu_dereference(now->buckets) != table.buckets;
    return moving ? find_in_order(NULL, key_of, value, version, user) : rc;
}

/* Looks up a key in an index that may be too new for the version: rebuild_fill.c. */
static inline __attribute__((always_inline)) int find_key_at(const struct shm_actor *actor,
                                                             const struct key_value *value,
                                                             uint64_t version,
                                                             struct shm_user *user)
{
    shm_key_of *key_of = actor->store->key_of;
    if (caa_unlikely(version < actor->key_from[value->key]))
        return find_in_order(NULL, key_of, value, version, user);
    return find_key_in(&actor->by_key[value->key], key_of, value, version, user);
}

int shm_user_find_key(struct shm_actor *actor, unsigned key, const uint8_t *value, uint32_t len,
                      struct shm_user *user)
{
    const struct key_value wanted = {.key = key, .len = len, .bytes = value};
    shm_key_of *key_of = actor->store->key_of;
    if (key >= SHM_KEYS || key_of == NULL)
        return SHM_EINVAL;
    if (len == 0 || len > SHM_KEY_MAX)
        return SHM_ENOENT;
    shm_grace_online(actor);
    if (caa_unlikely(actor->buckets == NULL))
        return find_key_as_tool(key_of, &wanted, user);
    if (actor->by_key[key].buckets == NULL)
        return SHM_EINVAL;
    return find_key_at(actor, &wanted, version_to_see(), user);
}

int shm_user_find_key_at(struct shm_actor *actor, unsigned key, const uint8_t *value, uint32_t len,
                         uint64_t version, struct shm_user *user)
{
    const struct key_value wanted = {.key = key, .len = len, .bytes = value};
    shm_key_of *key_of = actor->store->key_of;
    if (key >= SHM_KEYS || key_of == NULL || actor->by_key[key].buckets == NULL)
        return SHM_EINVAL;
    if (len == 0 || len > SHM_KEY_MAX)
        return SHM_ENOENT;
    shm_grace_online(actor);
    return find_key_at(actor, &wanted, version, user);
}
