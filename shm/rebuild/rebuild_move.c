/* SPDX-License-Identifier: MIT */
/*
 * A hash table's nodes move to a larger table, a few buckets a transaction: every old
 * bucket is split into several of the larger one. Old buckets [0, done) have been moved, and of
 * the one at `done` the end of its chain may have been; a node is in one of the two tables.
 *
 * In a chain the nodes of one id or key stand newest first, for an insert adds at the front. Others
 * rely on it (a deleted user's node stays in its chain until it is reclaimed, behind that of the
 * user who has the id or the key now), so a move keeps the order: a chain is split
 * in its order, and one that is too long for a transaction from its end: each part goes in front
 * of what went before.
 */
#include "shm/rebuild/rebuild_move.h"

#include "base/container_of.h"
#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/core/txn.h"
#include "shm/error.h"
#include "shm/store.h"
#include "shm/table/unique.h"

/* An id's hash is in the node. A key's is not: it comes from a body, any one, for all have the
 * same keys. */
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

/* Takes the chain from its node number `from` on apart. */
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

/* Logs the move of the last `count` nodes of a chain: what goes to one new bucket stays in its
 * order, in front of what is there already. At most four words a node, and one. */
static void log_split(struct rebuild *r, unsigned which, struct cds_hlist_head *bucket,
                      uint64_t length, uint64_t count)
{
    struct shm_txn *txn = &r->txn;
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
    if (n > 0) /* the chain ends before its first node that has moved */
        shm_txn_pointer(txn, n < length ? &r->node[0]->prev->next : &bucket->next, NULL);
}

/* Moves what one transaction takes. */
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
