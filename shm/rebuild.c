/* SPDX-License-Identifier: MIT */
/*
 * Tables are rebuilt in steps, each a transaction, and control.rebuild says how far:
 * who dies in it leaves a whole segment, and the next owner goes on from there.
 *
 * `to` is the table that is not in its place:
 *
 *   SHM_REBUILD_IDS         the larger table of ids. Old buckets [0, done) have been moved, the
 *                           one at `done` may be in part: a node is in one of the two tables.
 *   SHM_REBUILD_UNIQUE + k  the index of key k, with the users up to seq `done`.
 *   SHM_REBUILD_FREE        a table that nobody uses any more: its last `done` extents are free
 *                           nodes by now. (Its memory becomes nodes, for it holds a link
 *                           through `died`, which a node that is taken from there keeps until
 *                           the commit; the users that a larger table is for need nodes.)
 *
 * Nobody else writes: the owner has not forked yet, and tools that write are kept out
 * (owner.c). Tools that read go by the order list while ids are moved (lookup.c), and before a
 * table is freed we wait for their grace period.
 */
#include "config.h"

#include "shm/rebuild.h"

#include <stdlib.h>
#include <unistd.h>

#include <urcu/arch.h>

#include "shm/alloc.h"
#include "shm/chain.h"
#include "shm/log.h"
#include "shm/unique.h"

enum {
    TELL_EVERY = 64,
    GRACE_WAIT_MS = 1000,
    LOG_SPARE = 16, /* words that end a transaction */
    NODES_AN_EXTENT = SHM_EXTENT / sizeof(struct shm_node),
};

struct rebuild {
    struct shm_store *store;
    const struct shm_config *config;
    struct shm_fault *fault;
    struct shm_batch *batch;
    struct shm_txn txn;
    uint64_t steps;
};

static struct shm_rebuild *state(void)
{
    return &shm_control()->rebuild;
}

static int begin(struct rebuild *r)
{
    int rc = shm_writer_wait(r->store);
    if (rc != SHM_OK)
        return shm_fail(r->fault, rc, "segment %s: cannot take its writer lock: %s", r->store->name,
                        shm_strerror(rc));
    shm_txn_begin(&r->txn);
    return SHM_OK;
}

static void commit(struct rebuild *r)
{
    shm_txn_seal(&r->txn, 0);
    shm_txn_apply(&r->txn);
    shm_writer_unlock();
    SHM_POINT("rebuild step");
}

static void log_state(struct rebuild *r, const struct shm_table *to, uint64_t what, uint64_t done)
{
    shm_txn_pointer(&r->txn, &state()->to.buckets, to->buckets);
    shm_txn_word(&r->txn, &state()->to.count, to->count);
    shm_txn_word(&r->txn, &state()->what, what);
    shm_txn_word(&r->txn, &state()->done, done);
}

static void log_table(struct rebuild *r, struct shm_table *table, const struct shm_table *value)
{
    shm_txn_pointer(&r->txn, &table->buckets, value->buckets);
    shm_txn_word(&r->txn, &table->count, value->count);
}

static void tell(struct rebuild *r, const char *what, uint64_t done, uint64_t all)
{
    if (r->config->progress != NULL && r->steps++ % TELL_EVERY == 0)
        r->config->progress(r->config->progress_data, what,
                            all != 0 ? (unsigned)(done * 100 / all) : 0);
}

/* ---- memory ---- */

static int ensure_room(struct rebuild *r, uint64_t bytes)
{
    const struct shm_control *control = shm_control();
    while (control->arena_end - control->alloc[SHM_ALLOC_ARENA_CUR] < bytes) {
        int rc = shm_grow(r->store);
        if (rc != SHM_OK && rc != SHM_EBUSY)
            return shm_fail(r->fault, rc, "segment %s: no room for its larger tables: %s",
                            r->store->name, shm_strerror(rc));
    }
    return SHM_OK;
}

static int make_table(struct rebuild *r, uint64_t count, uint64_t what)
{
    uint64_t size = shm_table_size(count);
    int rc = ensure_room(r, size);
    if (rc != SHM_OK)
        return rc;
    /* beyond what is in use, but a transaction that was given up may have written there */
    uint64_t at = shm_control()->alloc[SHM_ALLOC_ARENA_CUR];
    struct shm_table table = {(struct cds_hlist_head *)(uintptr_t)at, count};
    memset(table.buckets, 0, size);
    rc = begin(r);
    if (rc != SHM_OK)
        return rc;
    if (r->txn.tracked)
        shm_dirty_mark(table.buckets, size);
    shm_alloc_set(&r->txn, SHM_ALLOC_ARENA_CUR, at + size);
    log_state(r, &table, what, 0);
    commit(r);
    return SHM_OK;
}

/* Whether every reader who is online now has been offline, or is dead. */
static int wait_for_readers(struct rebuild *r)
{
    int rc = begin(r);
    if (rc != SHM_OK)
        return rc;
    uint64_t token = shm_control()->gp + 1;
    r->txn.gp = token;
    commit(r);
    cmm_smp_mb(); /* as reclaim does: grace.h */
    for (unsigned i = 0, ms = 0; i < shm_slots_ready();) {
        uint64_t ctr = __atomic_load_n(&shm_slot(i)->ctr, __ATOMIC_ACQUIRE);
        if (ctr == 0 || ctr >= token || shm_slot_dead(shm_slot(i))) {
            i++;
            continue;
        }
        if (ms++ == GRACE_WAIT_MS)
            return shm_fail(r->fault, SHM_EBUSY,
                            "segment %s: process %u is reading its old tables and does not go on: "
                            "continue or end it, then start again",
                            r->store->name, shm_slot(i)->pid);
        usleep(1000);
    }
    return SHM_OK;
}

/* The extent's nodes, in front of those that are free already. */
static void free_extent(struct rebuild *r, uint64_t extent)
{
    struct shm_node *nodes = (struct shm_node *)(uintptr_t)extent;
    if (r->txn.tracked)
        shm_dirty_mark(nodes, SHM_EXTENT);
    for (unsigned i = 0; i + 1 < NODES_AN_EXTENT; i++)
        nodes[i].died = (uint64_t)(uintptr_t)&nodes[i + 1];
    nodes[NODES_AN_EXTENT - 1].died = shm_alloc_get(&r->txn, SHM_ALLOC_NODE_FREE);
    shm_alloc_set(&r->txn, SHM_ALLOC_NODE_FREE, extent);
}

static int free_table(struct rebuild *r)
{
    const struct shm_table table = state()->to;
    uint64_t extents = shm_table_size(table.count) / SHM_EXTENT;
    int rc = wait_for_readers(r);
    for (uint64_t done = state()->done; rc == SHM_OK && done < extents; done++) {
        rc = begin(r);
        if (rc != SHM_OK)
            break;
        free_extent(r, (uint64_t)(uintptr_t)table.buckets + (extents - 1 - done) * SHM_EXTENT);
        if (done + 1 < extents)
            shm_txn_word(&r->txn, &state()->done, done + 1);
        else
            log_state(r, &(struct shm_table){0}, 0, 0);
        commit(r);
    }
    return rc;
}

/* ---- ids: every old bucket is split into several of the larger table ---- */

static struct shm_node *node_of(const struct cds_hlist_node *at)
{
    return caa_container_of((struct cds_hlist_node *)(uintptr_t)at, struct shm_node, by_id);
}

static struct cds_hlist_head *target(const struct shm_table *to, const struct cds_hlist_node *at)
{
    return &to->buckets[node_of(at)->hash & (to->count - 1)];
}

static uint64_t chain_length(const struct cds_hlist_head *bucket)
{
    uint64_t n = 0;
    for (const struct cds_hlist_node *at = bucket->next; at != NULL; at = at->next)
        n++;
    return n;
}

/* Of a chain, those that go to one new bucket stay in their order: at most four words a node. */
static void log_split(struct shm_txn *txn, struct cds_hlist_head *bucket,
                      const struct shm_table *to)
{
    for (struct cds_hlist_node *at = bucket->next; at != NULL; at = at->next) {
        struct cds_hlist_head *mine = target(to, at);
        struct cds_hlist_node *before = NULL, *after = at->next;
        for (struct cds_hlist_node *other = bucket->next; other != at; other = other->next)
            if (target(to, other) == mine)
                before = other;
        while (after != NULL && target(to, after) != mine)
            after = after->next;
        if (after == NULL && mine->next != NULL) { /* moved earlier, one by one */
            after = mine->next;
            shm_txn_pointer(txn, &after->prev, at);
        }
        shm_txn_pointer(txn, &at->next, after);
        shm_txn_pointer(txn, &at->prev, before != NULL ? before : (struct cds_hlist_node *)mine);
        if (before == NULL)
            shm_txn_pointer(txn, &mine->next, at);
    }
    if (bucket->next != NULL)
        shm_txn_pointer(txn, &bucket->next, NULL);
}

/* The first of a chain that is too long for one transaction. */
static void log_move(struct shm_txn *txn, struct cds_hlist_head *bucket, const struct shm_table *to)
{
    struct cds_hlist_node *at = bucket->next;
    struct cds_hlist_head *mine = target(to, at);
    shm_txn_pointer(txn, &bucket->next, at->next);
    if (at->next != NULL)
        shm_txn_pointer(txn, &at->next->prev, bucket);
    if (mine->next != NULL)
        shm_txn_pointer(txn, &mine->next->prev, at);
    shm_txn_pointer(txn, &at->next, mine->next);
    shm_txn_pointer(txn, &at->prev, mine);
    shm_txn_pointer(txn, &mine->next, at);
}

/* Moves what one transaction takes. */
static int move_some(struct rebuild *r, const struct shm_table *old, const struct shm_table *to)
{
    enum { AHEAD = 16 };
    int rc = begin(r);
    if (rc != SHM_OK)
        return rc;
    uint64_t i = state()->done;
    for (; i < old->count; i++) {
        if (i + AHEAD < old->count)
            __builtin_prefetch(old->buckets[i + AHEAD].next);
        uint64_t words = 4 * chain_length(&old->buckets[i]) + 1;
        if (words > SHM_LOG_MAX - LOG_SPARE - r->txn.count)
            break;
        log_split(&r->txn, &old->buckets[i], to);
    }
    if (r->txn.count == 0 && i < old->count && i == state()->done)
        log_move(&r->txn, &old->buckets[i], to);
    shm_txn_word(&r->txn, &state()->done, i);
    commit(r);
    tell(r, "moving ids to a larger table", i, old->count);
    return SHM_OK;
}

static int move_ids(struct rebuild *r)
{
    const struct shm_table old = shm_control()->ids, to = state()->to;
    int rc = SHM_OK;
    while (rc == SHM_OK && state()->done < old.count)
        rc = move_some(r, &old, &to);
    if (rc == SHM_OK)
        rc = begin(r);
    if (rc != SHM_OK)
        return rc;
    log_table(r, &shm_control()->ids, &to);
    log_state(r, &old, SHM_REBUILD_FREE, 0);
    commit(r);
    return free_table(r);
}

/* ---- unique indexes ---- */

/* Up to a batch of users, from `at` on, into the index. @return where the next begins */
static const struct cds_list_head *log_users(struct rebuild *r, unsigned key,
                                             const struct cds_list_head *at)
{
    const struct cds_list_head *end = &shm_control()->order;
    const struct shm_table to = state()->to;
    uint64_t seq = state()->done;
    r->batch->stamp++;
    for (size_t n = 0; at != end && n < SHM_BATCH_MAX; n++, at = at->next) {
        uint8_t bytes[SHM_KEY_MAX];
        struct shm_node *node =
            caa_container_of((struct cds_list_head *)(uintptr_t)at, struct shm_node, order);
        uint32_t len = shm_unique_key(r->config->key_of, key, node->body, bytes);
        if (r->txn.tracked)
            shm_dirty_mark(&node->unique[key], sizeof(node->unique[key]));
        seq = node->seq;
        if (len == 0 || node->died != SHM_NEVER) { /* the deleted decide nothing: chain.h */
            node->unique[key] = (struct cds_hlist_node){0};
            continue;
        }
        struct cds_hlist_head *bucket =
            shm_unique_bucket(&to, shm_unique_hash(shm_header(), key, bytes, len));
        struct cds_hlist_node **pending = shm_chain_pending(r->batch, bucket);
        shm_chain_log_add(&r->txn, bucket, shm_chain_first(bucket, pending), &node->unique[key],
                          pending);
    }
    shm_txn_word(&r->txn, &state()->done, seq);
    return at;
}

static int fill_index(struct rebuild *r, unsigned key)
{
    const struct cds_list_head *end = &shm_control()->order;
    const struct shm_node *from = shm_tower_find(state()->done);
    const struct cds_list_head *at = from != NULL ? &from->order : end->next;
    while (at != end && caa_container_of(at, struct shm_node, order)->seq <= state()->done)
        at = at->next;
    int rc = SHM_OK;
    while (rc == SHM_OK && at != end) {
        rc = begin(r);
        if (rc != SHM_OK)
            return rc;
        at = log_users(r, key, at);
        commit(r);
        tell(r, "building a unique index", state()->done, shm_control()->seq);
    }
    if (rc == SHM_OK)
        rc = begin(r);
    if (rc != SHM_OK)
        return rc;
    const struct shm_table to = state()->to;
    log_table(r, &shm_control()->unique[key], &to);
    log_state(r, &(struct shm_table){0}, 0, 0);
    commit(r);
    return SHM_OK;
}

static int drop_index(struct rebuild *r, unsigned key)
{
    const struct shm_table old = shm_control()->unique[key];
    int rc = begin(r);
    if (rc != SHM_OK)
        return rc;
    log_table(r, &shm_control()->unique[key], &(struct shm_table){0});
    log_state(r, &old, SHM_REBUILD_FREE, 0);
    commit(r);
    return free_table(r);
}

/* ---- what there is to do ---- */

static bool wants(const struct rebuild *r, unsigned key)
{
    return (r->config->unique >> key & 1) != 0;
}

/* What a dead owner left half done. An index that is not wanted any more is given up. */
static int resume(struct rebuild *r)
{
    if (state()->to.buckets == NULL)
        return SHM_OK;
    if (state()->what == SHM_REBUILD_IDS)
        return move_ids(r);
    if (state()->what == SHM_REBUILD_FREE)
        return free_table(r);
    unsigned key = (unsigned)(state()->what - SHM_REBUILD_UNIQUE);
    if (wants(r, key))
        return fill_index(r, key);
    int rc = begin(r);
    if (rc != SHM_OK)
        return rc;
    const struct shm_table to = state()->to;
    log_state(r, &to, SHM_REBUILD_FREE, 0);
    commit(r);
    return free_table(r);
}

/* An index that is too small is made anew. */
static bool keeps(const struct rebuild *r, unsigned key, uint64_t buckets)
{
    return wants(r, key) && shm_control()->unique[key].count >= buckets;
}

static int make_all(struct rebuild *r, uint64_t buckets)
{
    const struct shm_control *control = shm_control();
    uint64_t tables = control->ids.count < buckets;
    for (unsigned key = 0; key < SHM_KEYS; key++)
        tables += wants(r, key) && !keeps(r, key, buckets);
    int rc = ensure_room(r, tables * shm_table_size(buckets));
    for (unsigned key = 0; key < SHM_KEYS && rc == SHM_OK; key++)
        if (control->unique[key].buckets != NULL && !keeps(r, key, buckets))
            rc = drop_index(r, key);
    if (rc == SHM_OK && control->ids.count < buckets) {
        rc = make_table(r, buckets, SHM_REBUILD_IDS);
        if (rc == SHM_OK)
            rc = move_ids(r);
    }
    for (unsigned key = 0; key < SHM_KEYS && rc == SHM_OK; key++)
        if (wants(r, key) && control->unique[key].buckets == NULL) {
            rc = make_table(r, buckets, SHM_REBUILD_UNIQUE + key);
            if (rc == SHM_OK)
                rc = fill_index(r, key);
        }
    return rc;
}

int shm_rebuild(struct shm_store *store, const struct shm_config *config, struct shm_fault *fault)
{
    struct rebuild r = {
        .store = store, .config = config, .fault = fault, .txn = {.log = shm_log()}};
    r.batch = calloc(1, sizeof(*r.batch));
    if (r.batch == NULL)
        return shm_fail(fault, SHM_ESYS, "segment %s: out of memory", store->name);
    int rc = resume(&r);
    if (rc == SHM_OK)
        rc = make_all(&r, shm_bucket_count(config->max_users));
    free(r.batch);
    return rc;
}
