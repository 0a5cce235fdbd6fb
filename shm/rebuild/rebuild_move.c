/* SPDX-License-Identifier: MIT */
/*
 * The nodes of a hash table move to a larger one, a few buckets per transaction. Every old bucket
 * is split into several buckets of the larger table. Old buckets [0, done) have been moved; of
 * bucket `done` the end of the chain may have been moved. Each node is in exactly one of the two
 * tables.
 *
 * In a chain the nodes of one id or key stand newest first, because an insert adds at the front.
 * Readers rely on that: a deleted user's node stays in its chain until it is reclaimed, behind the
 * node of the user that has the id or the key now. So a move keeps the order: a chain is split in
 * order, and if it is too long for one transaction its end is moved first, and each further part is
 * put in front of the parts moved before.
 */
#include "shm/rebuild/rebuild_move.h"

#include <assert.h>

#include "base/container_of.h"
#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/core/txn.h"
#include "shm/error.h"
#include "shm/store.h"
#include "shm/table/unique.h"

/* The hash that decides a node's bucket. An id's hash is in the node. A key's hash is computed from
 * the newest body; any body would do, because all bodies of a node have the same keys. */
static uint64_t hash_in_table(const struct rebuild *r, unsigned which,
                              const struct cds_hlist_node *at)
{
    uint8_t bytes[SHM_KEY_MAX];
    if (which == REBUILD_IDS)
        return container_of(at, struct shm_node, by_id)->hash;
    const struct shm_body *body = shm_unique_node(at, which)->body;
    uint32_t len = shm_unique_key(r->config->key_of, which, body, bytes);
    return shm_unique_hash(shm_header(), which, bytes, len);
}

static uint64_t chain_length(const struct cds_hlist_head *bucket)
{
    uint64_t n = 0;
    for (const struct cds_hlist_node *at = bucket->next; at != NULL; at = at->next)
        n++;
    return n;
}

/* Lists the nodes of a chain from its node number `from` on, and their new buckets.
 * @return how many */
static size_t look_at_chain(struct rebuild *r, unsigned which, const struct cds_hlist_head *bucket,
                            uint64_t from)
{
    const struct shm_table to = rebuild_state()->to;
    size_t n = 0;
    struct cds_hlist_node *at = bucket->next;
    for (; from > 0; from--)
        at = at->next;
    for (; at != NULL; at = at->next, n++) {
        r->node[n] = at;
        r->target[n] = &to.buckets[hash_in_table(r, which, at) & (to.count - 1)];
    }
    return n;
}

/* Logs the move of the last `count` nodes of a chain of `length`. Nodes that go to the same new
 * bucket keep their order, in front of the nodes that are there already. At most four entries per
 * node, and one more. */
static void log_split(struct rebuild *r, unsigned which, struct cds_hlist_head *bucket,
                      uint64_t length, uint64_t count)
{
    struct shm_txn *txn = &r->txn;
    assert(count <= length && count <= REBUILD_NODES_MAX);
    size_t n = look_at_chain(r, which, bucket, length - count);
    for (size_t i = 0; i < n; i++) {
        struct cds_hlist_head *mine = r->target[i];
        size_t before = i, after = i + 1;
        while (before > 0 && r->target[before - 1] != mine)
            before--;
        while (after < n && r->target[after] != mine)
            after++;
        struct cds_hlist_node *at = r->node[i];
        struct cds_hlist_node *next = after < n ? r->node[after] : mine->next;
        shm_txn_pointer(txn, &at->next, next);
        if (after == n && next != NULL)
            shm_txn_pointer(txn, &next->prev, at);
        shm_txn_pointer(txn, &at->prev,
                        before > 0 ? r->node[before - 1] : (struct cds_hlist_node *)mine);
        if (before == 0)
            shm_txn_pointer(txn, &mine->next, at);
    }
    if (n > 0) /* the old chain now ends before the first moved node */
        shm_txn_pointer(txn, n < length ? &r->node[0]->prev->next : &bucket->next, NULL);
}

/* Moves as many buckets as fit one transaction. */
static int move_some(struct rebuild *r, unsigned which, const struct shm_table *old)
{
    enum { AHEAD = 16 };
    int rc = rebuild_begin(r);
    if (rc != SHM_OK)
        return rc;
    uint64_t i = rebuild_state()->done;
    for (; i < old->count; i++) {
        if (i + AHEAD < old->count)
            __builtin_prefetch(old->buckets[i + AHEAD].next);
        uint64_t length = chain_length(&old->buckets[i]);
        uint64_t room = (SHM_LOG_MAX - REBUILD_LOG_SPARE - r->txn.count) / REBUILD_WORDS_A_NODE;
        if (length < room)
            log_split(r, which, &old->buckets[i], length, length);
        else if (r->txn.count == 0)
            log_split(r, which, &old->buckets[i], length, room - 1);
        if (length >= room)
            break;
    }
    shm_txn_word(&r->txn, &rebuild_state()->done, i);
    rebuild_commit(r);
    rebuild_tell(r,
                 which == REBUILD_IDS ? "moving ids to a larger table"
                                      : "moving a unique index to a larger table",
                 i, old->count);
    return SHM_OK;
}

int rebuild_move(struct rebuild *r, unsigned which)
{
    const struct shm_table old = *rebuild_table(which), to = rebuild_state()->to;
    int rc = SHM_OK;
    while (rc == SHM_OK && rebuild_state()->done < old.count)
        rc = move_some(r, which, &old);
    if (rc == SHM_OK)
        rc = rebuild_begin(r);
    if (rc != SHM_OK)
        return rc;
    rebuild_log_table(r, rebuild_table(which), &to);
    rebuild_log_state(r, &old, SHM_REBUILD_FREE, 0);
    rebuild_commit(r);
    return SHM_OK;
}
