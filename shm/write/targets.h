/* SPDX-License-Identifier: MIT */
/* Which users a write is about: found under the writer lock. */
#ifndef ROSTERD_SHM_WRITE_TARGETS_H
#define ROSTERD_SHM_WRITE_TARGETS_H

#include "shm/core/actor_handle.h"
#include "shm/core/hash.h"
#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/store.h"

/** Hashes the id of the batch's user i and asks for its bucket, without waiting for memory: before
 * the lock. */
static inline void shm_prepare_id(struct shm_actor *actor, const uint8_t id[SHM_ID_SIZE], size_t i)
{
    actor->batch.hash[i] = shm_hash_id(shm_header(), id);
    __builtin_prefetch(&actor->buckets[actor->batch.hash[i] & actor->bucket_mask]);
}
/** Brings the first users of the batch's chains into the cache; called just before the lock is
 * taken. */
void shm_touch_targets(const struct shm_actor *actor, size_t count);
/** Finds all users of the batch; called under the writer lock.
 * @return SHM_OK, SHM_ENOENT, SHM_EINVAL (a user occurs twice) */
int shm_find_targets(struct shm_actor *actor, const uint8_t *ids, size_t stride, size_t count,
                     struct shm_conflict *conflict);

#endif
