/* SPDX-License-Identifier: MIT */
/* Finding the users of a write. */
#include "shm/write/targets.h"

#include "base/container_of.h"
#include "shm/core/write_batch.h"
#include "shm/error.h"
#include "shm/table/hash_chain.h"

enum { PLACES = 4 * SHM_BATCH_MAX };

/* The live user with this id, or NULL; called under the writer lock.
 * @param died receives the commit that deleted the user, if it is still known */
static struct shm_node *find_live_node(const struct shm_actor *actor, uint64_t hash,
                                       const uint8_t id[SHM_ID_SIZE], uint64_t *died)
{
    struct shm_node *node = shm_chain_find_id(actor->buckets[hash & actor->bucket_mask].next, id);
    if (node == NULL || node->died == SHM_NEVER)
        return node;
    *died = node->died;
    return NULL;
}

static const struct shm_node *first_in_chain(const struct shm_actor *actor, size_t i)
{
    const struct cds_hlist_node *first = __atomic_load_n(
        &actor->buckets[actor->batch.hash[i] & actor->bucket_mask].next, __ATOMIC_ACQUIRE);
    return first != NULL ? container_of(first, struct shm_node, by_id) : NULL;
}

void shm_touch_targets(const struct shm_actor *actor, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct shm_node *node = first_in_chain(actor, i);
        __builtin_prefetch(node, 1);
        __builtin_prefetch((const char *)node + SHM_LINE, 1);
    }
    for (size_t i = 0; i < count; i++) {
        const struct shm_node *node = first_in_chain(actor, i);
        if (node != NULL)
            shm_chain_touch_body(node);
    }
}

/* Whether this batch contains the node already; remembers the node. */
static bool batch_has_met(struct shm_batch *batch, const struct shm_node *node)
{
    uint64_t key = (uint64_t)(uintptr_t)node;
    for (uint64_t i = key / sizeof(*node) % PLACES;; i = (i + 1) % PLACES) {
        if (batch->pending[i].stamp != batch->stamp) {
            batch->pending[i].stamp = batch->stamp;
            batch->pending[i].bucket = key;
            return false;
        }
        if (batch->pending[i].bucket == key)
            return true;
    }
}

int shm_find_targets(struct shm_actor *actor, const uint8_t *ids, size_t stride, size_t count,
                     struct shm_conflict *conflict)
{
    struct shm_batch *batch = &actor->batch;
    batch->stamp++;
    for (size_t i = 0; i < count; i++) {
        conflict->which = i;
        batch->node[i] =
            find_live_node(actor, batch->hash[i], ids + i * stride, &conflict->version);
        if (batch->node[i] == NULL)
            return SHM_ENOENT;
        if (count > 1 && batch_has_met(batch, batch->node[i]))
            return SHM_EINVAL;
    }
    return SHM_OK;
}
