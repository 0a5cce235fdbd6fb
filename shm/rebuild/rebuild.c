/* SPDX-License-Identifier: MIT */
/*
 * Tables are rebuilt in steps. Each step is a transaction, and control.rebuild tells how far the
 * rebuild has come: if the owner dies, the segment is intact and the next owner continues.
 *
 * control.rebuild.to is a table that is not in use as such:
 *
 *   SHM_REBUILD_IDS         the larger table of ids, to which the nodes move (rebuild_move.c)
 *   SHM_REBUILD_MOVE + k    the larger index of key k, likewise
 *   SHM_REBUILD_UNIQUE + k  the new index of key k, which has the users up to seq `done`
 *   SHM_REBUILD_FREE        a table that is not used any more; its last `done` extents are free
 * nodes already. (The memory becomes nodes, not blocks, because the users for whom a table is made
 * larger need nodes, and because a free node's link is its `died`, which stays intact until the
 * node's commit.)
 *
 * No other process writes: the owner has not forked yet, and writing tools are kept out both while
 * the owner lives (owner.c) and after it died or failed in a rebuild (shm_rebuild_unfinished()).
 * Reading tools use the order list while tables are moved (lookup.c), and the owner waits for a
 * grace period before it frees a table.
 *
 * The order of the steps lets the next owner continue, with the old configuration or the new one,
 * wherever this one fails or is killed:
 *
 *  1. Wait until every reader has been offline once: a process that is stopped in an online section
 *     would keep the first table from being freed. (A process may still stop later. Then that table
 *     stays until a later owner can free it.)
 *  2. Allocate memory for all new tables at once; without it nothing is begun.
 *  3. Finish what a dead owner left unfinished. A move is always finished: a larger table is right
 *     for fewer users, too. A half filled index that is not wanted is freed.
 *  4. Make larger tables, then new indexes. At any time each key that was unique has its index, in
 *     one table or, while it moves, in two; writers are kept out.
 *  5. Drop indexes that are not wanted any more, one after the other, without a gap in which a tool
 *     could write. They come last because the next owner may want them again, and would find
 *     duplicates if a tool had written without the index.
 */
#include "shm/rebuild/rebuild.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <urcu/arch.h>

#include "shm/core/alloc.h"
#include "shm/core/dirty.h"
#include "shm/core/fail.h"
#include "shm/core/layout.h"
#include "shm/core/store_handle.h"
#include "shm/core/table_size.h"
#include "shm/core/txn.h"
#include "shm/core/writer_lock.h"
#include "shm/rebuild/rebuild_fill.h"
#include "shm/rebuild/rebuild_move.h"
#include "shm/rebuild/rebuild_step.h"
#include "shm/segment/grow.h"
#include "shm/slots/slot.h"

enum {
    GRACE_WAIT_MS = 1000,
    NODES_AN_EXTENT = SHM_EXTENT / sizeof(struct shm_node),
};

/* ---- what remains to be done ---- */

static bool is_wanted(const struct rebuild *r, unsigned which)
{
    return which == REBUILD_IDS || (r->config->unique >> which & 1) != 0;
}

static uint64_t what_moves(unsigned which)
{
    return which == REBUILD_IDS ? SHM_REBUILD_IDS : SHM_REBUILD_MOVE + which;
}

static bool is_under_way(uint64_t what)
{
    return rebuild_state()->to.buckets != NULL && rebuild_state()->what == what;
}

/* How many buckets the table will have when the rebuild that is under way is finished; 0: no table.
 */
static uint64_t buckets_of(unsigned which)
{
    if (is_under_way(what_moves(which)) ||
        (which != REBUILD_IDS && is_under_way(SHM_REBUILD_UNIQUE + which)))
        return rebuild_state()->to.count;
    return rebuild_table(which)->count;
}

/* The number of tables that have not been made yet. */
static unsigned tables_to_make(const struct rebuild *r)
{
    unsigned tables = 0;
    for (unsigned which = 0; which <= REBUILD_IDS; which++)
        tables += is_wanted(r, which) && buckets_of(which) < shm_bucket_count(r->config->max_users);
    return tables;
}

/* The next index to drop. @return its key; SHM_KEYS: none, or there is other work first */
static unsigned next_to_drop(const struct rebuild *r)
{
    unsigned key = 0;
    if (tables_to_make(r) != 0)
        return SHM_KEYS;
    while (key < SHM_KEYS && (is_wanted(r, key) || rebuild_table(key)->buckets == NULL))
        key++;
    return key;
}

/* Whether a table will be freed that readers may be using. */
static bool will_free(const struct rebuild *r)
{
    for (unsigned which = 0; which <= REBUILD_IDS; which++)
        if (rebuild_table(which)->count != 0 &&
            (!is_wanted(r, which) ||
             rebuild_table(which)->count < shm_bucket_count(r->config->max_users)))
            return true;
    return shm_rebuild_unfinished();
}

/* ---- memory ---- */

static int ensure_room(struct rebuild *r, uint64_t bytes)
{
    const struct shm_control *control = shm_control();
    struct shm_fault why = {.text = ""};
    int rc = shm_grow_to(r->store, control->alloc[SHM_ALLOC_ARENA_CUR] + bytes, &why);
    if (rc == SHM_OK)
        return rc;
    if (rc == SHM_EBUSY)
        return shm_writer_fail(r->store, rc, r->fault);
    return shm_fail(r->fault, rc, "segment %s: no room for its larger tables: %.300s",
                    r->store->name, why.text);
}

static int make_table(struct rebuild *r, uint64_t what)
{
    uint64_t count = shm_bucket_count(r->config->max_users), size = shm_table_size(count);
    int rc = ensure_room(r, size);
    if (rc != SHM_OK)
        return rc;
    /* nothing is in use here, but a transaction that did not commit may have written to it */
    uint64_t at = shm_control()->alloc[SHM_ALLOC_ARENA_CUR];
    struct shm_table table = {(struct cds_hlist_head *)(uintptr_t)at, count};
    memset(table.buckets, 0, size);
    rc = rebuild_begin(r);
    if (rc != SHM_OK)
        return rc;
    if (r->txn.tracked)
        shm_dirty_mark(table.buckets, size);
    shm_alloc_set(&r->txn, SHM_ALLOC_ARENA_CUR, at + size);
    rebuild_log_state(r, &table, what, 0);
    rebuild_commit(r);
    return SHM_OK;
}

/* Waits until every reader that is online now has been offline, or is dead. @return SHM_EBUSY: one
 * stays online for more than a second; the fault names its process */
static int wait_for_readers(struct rebuild *r)
{
    int rc = rebuild_begin(r);
    if (rc != SHM_OK)
        return rc;
    uint64_t token = shm_control()->gp + 1;
    r->txn.gp = token;
    rebuild_commit(r);
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

/* Makes an extent free nodes, in front of the free list. */
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

static void log_drop(struct rebuild *r, unsigned key)
{
    const struct shm_table old = *rebuild_table(key);
    rebuild_log_table(r, rebuild_table(key), NULL);
    rebuild_log_state(r, &old, SHM_REBUILD_FREE, 0);
}

/* Frees control.rebuild.to and, if nothing else is left to do, drops and frees unwanted indexes. */
static int free_table(struct rebuild *r)
{
    uint64_t last = 0;
    int rc = SHM_OK;
    while (rc == SHM_OK && shm_rebuild_unfinished()) {
        const struct shm_rebuild now = *rebuild_state();
        uint64_t extents = shm_table_size(now.to.count) / SHM_EXTENT;
        uint64_t table = (uint64_t)(uintptr_t)now.to.buckets;
#ifdef SHM_MUTANT_REBUILD_NO_WAIT
        last = table;
#endif
        if (last != table)
            rc = wait_for_readers(r);
        last = table;
        if (rc == SHM_OK)
            rc = rebuild_begin(r);
        if (rc != SHM_OK)
            break;
        free_extent(r, table + (extents - 1 - now.done) * SHM_EXTENT);
        unsigned drop = next_to_drop(r);
        if (now.done + 1 < extents)
            shm_txn_word(&r->txn, &rebuild_state()->done, now.done + 1);
        else if (drop < SHM_KEYS)
            log_drop(r, drop);
        else
            rebuild_log_state(r, NULL, 0, 0);
        rebuild_commit(r);
    }
    return rc;
}

/* ---- one after the other ---- */

static int move_table(struct rebuild *r, unsigned which)
{
    int rc = rebuild_move(r, which);
    return rc == SHM_OK ? free_table(r) : rc;
}

static int drop_half_filled(struct rebuild *r)
{
    int rc = rebuild_begin(r);
    if (rc != SHM_OK)
        return rc;
    const struct shm_table to = rebuild_state()->to;
    rebuild_log_state(r, &to, SHM_REBUILD_FREE, 0);
    rebuild_commit(r);
    return free_table(r);
}

/* Finishes what a dead owner left unfinished. */
static int resume_rebuild(struct rebuild *r)
{
    if (!shm_rebuild_unfinished())
        return SHM_OK;
    for (unsigned which = 0; which <= REBUILD_IDS; which++)
        if (is_under_way(what_moves(which)))
            return move_table(r, which);
    for (unsigned key = 0; key < SHM_KEYS; key++)
        if (is_under_way(SHM_REBUILD_UNIQUE + key))
            return is_wanted(r, key) ? rebuild_fill(r, key) : drop_half_filled(r);
    return free_table(r);
}

static int make_all(struct rebuild *r)
{
    uint64_t buckets = shm_bucket_count(r->config->max_users);
    int rc = SHM_OK;
    for (unsigned which = SHM_KEYS + 1; which-- > 0 && rc == SHM_OK;)
        if (is_wanted(r, which) && rebuild_table(which)->count != 0 &&
            rebuild_table(which)->count < buckets) {
            rc = make_table(r, what_moves(which));
            if (rc == SHM_OK)
                rc = move_table(r, which);
        }
    for (unsigned key = 0; key < SHM_KEYS && rc == SHM_OK; key++)
        if (is_wanted(r, key) && rebuild_table(key)->count == 0) {
            rc = make_table(r, SHM_REBUILD_UNIQUE + key);
            if (rc == SHM_OK)
                rc = rebuild_fill(r, key);
        }
    return rc;
}

static int drop_rest(struct rebuild *r)
{
    unsigned key = next_to_drop(r);
    if (key == SHM_KEYS)
        return SHM_OK;
    int rc = rebuild_begin(r);
    if (rc != SHM_OK)
        return rc;
    log_drop(r, key);
    rebuild_commit(r);
    return free_table(r);
}

static int check_key_of(const struct rebuild *r)
{
    for (unsigned key = 0; key < SHM_KEYS; key++)
        if (r->config->key_of == NULL && is_under_way(what_moves(key)))
            return shm_fail(r->fault, SHM_EINVAL,
                            "segment %s: the index of key %u is half moved to a larger table: "
                            "key_of is needed to finish that",
                            r->store->name, key);
    return SHM_OK;
}

int shm_rebuild(struct shm_store *store, const struct shm_config *config, struct shm_fault *fault)
{
    struct rebuild *r = calloc(1, sizeof(*r));
    if (r == NULL)
        return shm_fail(fault, SHM_ESYS, "segment %s: out of memory", store->name);
    r->store = store;
    r->config = config;
    r->fault = fault;
    uint64_t size = shm_table_size(shm_bucket_count(config->max_users));
    int rc = check_key_of(r);
    if (rc == SHM_OK && will_free(r))
        rc = wait_for_readers(r);
    if (rc == SHM_OK)
        rc = ensure_room(r, tables_to_make(r) * size);
    if (rc == SHM_OK)
        rc = resume_rebuild(r);
    if (rc == SHM_OK)
        rc = make_all(r);
    if (rc == SHM_OK)
        rc = drop_rest(r);
    free(r);
    return rc;
}
