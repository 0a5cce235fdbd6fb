/* SPDX-License-Identifier: MIT */
/*
 * Unique keys: an index for each key that the segment keeps unique, with the same nodes, buckets
 * and rules as the index by id.
 *
 * control.unique[k] is the table of key k; {NULL, 0} means that there is none. A node is linked in
 * it, by its `unique[k]`, if its body has such a key: unique[k].prev is then not NULL. It is NULL
 * if the node is not linked (each insert sets both). The node stays linked from the insert until
 * reclaim unlinks it, so a walk may meet a deleted user: `died` tells. A key never changes while
 * its node lives: a user whose key changes gets another node (rename.h). All bodies of a node
 * therefore have the same keys, and one link serves every version.
 *
 * The key itself is not stored a second time: a search of a chain reads it from the bodies. The
 * hash of a key is keyed with the segment's secret, so no client can make chains long by choosing
 * names.
 */
#ifndef ROSTERD_SHM_TABLE_UNIQUE_H
#define ROSTERD_SHM_TABLE_UNIQUE_H

#include <stdbool.h>

#include "base/container_of.h"
#include "shm/core/grace.h"
#include "shm/core/hash.h"
#include "shm/core/layout.h"
#include "shm/store.h"

/** A key of a user that is being inserted. */
struct shm_key {
    struct cds_hlist_head *bucket;
    uint32_t len; /* 0: the user has none */
    uint8_t bytes[SHM_KEY_MAX];
};

/** Scratch of one insert into a segment with unique keys. */
struct shm_keys {
    struct shm_key of[SHM_BATCH_MAX][SHM_KEYS];
};

/* ---- the parts of an index ---- */

/** Each key uses another window of the secret, so that no two tables share a hash function. */
static inline uint64_t shm_unique_hash(const struct shm_header *header, unsigned key,
                                       const uint8_t *value, uint32_t len)
{
    enum { SHIFT = 24 };
    _Static_assert(SHM_SECRET_SIZE - SHIFT * SHM_KEYS >= XXH3_SECRET_SIZE_MIN, "the last window");
    return XXH3_64bits_withSecret(value, len, header->secret + SHIFT * (key + 1),
                                  SHM_SECRET_SIZE - SHIFT * SHM_KEYS);
}

static inline struct cds_hlist_head *shm_unique_bucket(const struct shm_table *table, uint64_t hash)
{
    return &table->buckets[hash & (table->count - 1)];
}

/** Extracts the key of a user's body. @return its length; 0: none, or key_of exceeded the bound */
static inline uint32_t shm_unique_key(shm_key_of *key_of, unsigned key, const struct shm_body *body,
                                      uint8_t out[SHM_KEY_MAX])
{
    uint32_t len = key_of(key, body->bytes, shm_body_length(body), out);
    return len <= SHM_KEY_MAX ? len : 0;
}

static inline struct shm_node *shm_unique_node(const struct cds_hlist_node *at, unsigned key)
{
    return container_of(at, struct shm_node, unique[key]);
}

/** Whether the node is linked in the index of this key; called under the writer lock. */
static inline bool shm_unique_linked(const struct shm_node *node, unsigned key)
{
    return node->unique[key].prev != NULL;
}

/* ---- writers ---- */

/** Prepares an actor for unique keys. @return SHM_OK, SHM_ESYS (out of memory) */
int shm_unique_join(struct shm_actor *actor);
void shm_unique_leave(struct shm_actor *actor);

/* The steps of an insert; only called if actor->unique is not 0. */

/** Extracts and hashes the keys; called before the lock is taken.
 * @return SHM_OK, SHM_EINVAL (the process has no key_of) */
int shm_unique_prepare(struct shm_actor *actor, const struct shm_new_user *users, size_t count);
/** Brings the first node of each of the batch's chains, and its key, into the cache; called just
 * before the lock is taken. At the first touch of a bucket's page the kernel clears the page, which
 * must not happen under the lock. */
void shm_unique_touch(const struct shm_actor *actor, size_t count);
/** Logs that user i's node is linked into the indexes. The node already points to its body.
 * @param former the node that this one takes the place of, in the same transaction: its keys do not
 *   count; NULL: none
 * @return SHM_OK; SHM_EKEY: another user has the key; conflict names the key and that user's commit
 */
int shm_unique_log(struct shm_actor *actor, size_t i, bool many, const struct shm_node *former,
                   struct shm_conflict *conflict);
/** Links the nodes after the commit point. */
void shm_unique_publish(struct shm_actor *actor, size_t count);

/** Whether a unique key would change, appear or disappear if this body replaced the old one.
 * @param key receives its number @param key_of not NULL */
bool shm_unique_changes(const struct shm_actor *actor, shm_key_of *key_of,
                        const struct shm_body *old, const uint8_t *body, uint32_t len,
                        unsigned *key);

#endif
