/* SPDX-License-Identifier: MIT */
/*
 * Unique keys: an index for each key that the segment keeps unique, with the same
 * nodes, buckets and rules as the index by id.
 *
 * control.unique[k] is the table of key k; {NULL, 0}: there is none. A node is in it,
 * by its `unique[k]`, if its body has such a key: unique[k].prev is not NULL then, and
 * NULL where it is not linked (each insert sees to both). It stays linked from the
 * insert until reclaim unlinks the node, so a deleted user may still be met: `died`
 * tells. A key never changes while its user lives: shm_users_update() asks
 * shm_unique_unchanged(). So all bodies of a node have the same keys, and one link
 * serves every version.
 *
 * The key itself is not stored twice: it is taken from the body when a chain is
 * searched. Nodes meet in a chain by their hash, which is keyed with the segment's
 * secret, so nobody can make the chains long by choosing names.
 */
#ifndef ROSTERD_SHM_TABLE_UNIQUE_H
#define ROSTERD_SHM_TABLE_UNIQUE_H

#include <stdbool.h>

#include "base/container_of.h"
#include "shm/core/grace.h"
#include "shm/core/hash.h"
#include "shm/core/layout.h"
#include "shm/store.h"

/** A key of a user who is to be inserted. */
struct shm_key {
    struct cds_hlist_head *bucket;
    uint32_t len; /* 0: the user has none */
    uint8_t bytes[SHM_KEY_MAX];
};

/** Scratch of one insert into a segment with unique keys. */
struct shm_keys {
    struct shm_key of[SHM_BATCH_MAX][SHM_KEYS];
};

/* ---- what an index is made of ---- */

/** The secret's window moves on with the key, so that no two tables share a hash. */
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

/** The key of a user's body. @return its length, 0 for none (also where key_of forgot its bound) */
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

/** Whether the node is linked in the index of this key. Under the writer lock. */
static inline bool shm_unique_linked(const struct shm_node *node, unsigned key)
{
    return node->unique[key].prev != NULL;
}

/**
 * Under the writer lock: the user with this key who is not deleted, from `first` of a chain on,
 * or one of the transaction that is being built. NULL: there is none, the key is free.
 */
struct shm_node *shm_unique_find(const struct cds_hlist_node *first, unsigned key,
                                 shm_key_of *key_of, const uint8_t *value, uint32_t len);

/* ---- writers ---- */

/** What an actor needs for it. @return SHM_ESYS: out of memory */
int shm_unique_join(struct shm_actor *actor);
void shm_unique_leave(struct shm_actor *actor);

/* The three steps of an insert; each only where actor->unique is not 0. */

/** Before the lock: keys and hashes. @return SHM_EINVAL where the process has no key_of */
int shm_unique_prepare(struct shm_actor *actor, const struct shm_new_user *users, size_t count);
/** For a batch, just before the lock: brings what its chains begin with, and the keys there, into
 * the cache. A bucket's page may never have been touched, and the kernel clears it then: not under
 * the lock. */
void shm_unique_touch(const struct shm_actor *actor, size_t count);
/** Logs user i's node, which leads to its body, into the indexes. @return SHM_EKEY, and which key
 */
int shm_unique_log(struct shm_actor *actor, size_t i, bool many, unsigned *key);
/** After the commit point. */
void shm_unique_publish(struct shm_actor *actor, size_t count);

/**
 * Whether a user may get this body instead of the old one.
 * @return SHM_OK; SHM_EINVAL where that changes, gives or takes a unique key, named in *key,
 *   or where the process has no key_of
 */
int shm_unique_unchanged(const struct shm_actor *actor, const struct shm_body *old,
                         const uint8_t *body, uint32_t len, unsigned *key);

#endif
