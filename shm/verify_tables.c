/* SPDX-License-Identifier: MIT */
/*
 * The hash tables. Each chain must consist of nodes of the order list that belong
 * into that bucket, linked both ways: as a node has one back link, which leads to
 * what led to it, no node can be met twice. So if as many are met as there are, all are.
 *
 * A range of buckets is looked at breadth first: all its first nodes are asked
 * for before one of them is read, then all second ones, and so on.
 */
#include "config.h"

#include <stdlib.h>

#include "shm/retire.h"
#include "shm/unique.h"
#include "shm/verify_parts.h"

enum { RANGE = 512, IDS = 0 };

/* A table, and which of its buckets may hold something: see rebuild.c. */
struct part {
    const struct shm_table *table;
    unsigned which;               /* IDS, or 1 + the key */
    uint64_t old_count, old_done; /* of a table being moved: not 0 */
    bool is_new;                  /* the larger one, to which its nodes move */
};

struct chain {
    uint64_t bucket;
    const void *prev;
    const struct cds_hlist_node *at;
};

static size_t link_offset(const struct part *part)
{
    return part->which == IDS ? offsetof(struct shm_node, by_id)
                              : offsetof(struct shm_node, unique) +
                                    (part->which - 1) * sizeof(struct cds_hlist_node);
}

static const char *name_of(const struct part *part)
{
    static const char *const names[] = {"the hash table", "unique index 0", "unique index 1"};
    return names[part->which];
}

/* Moved buckets of the old table are empty, those of the new one that are not moved yet, too;
 * the one that is being moved may be in both. */
static bool may_hold(const struct part *part, uint64_t bucket)
{
    if (part->old_count == 0)
        return true;
    uint64_t old = bucket & (part->old_count - 1);
    return old == part->old_done || (old < part->old_done) == part->is_new;
}

/* The newest body, which has been checked with its chain. */
static const struct shm_body *body_of(const struct verify *v, const struct shm_node *node)
{
    const struct shm_body *body = verify_at(v, node->body, sizeof(*body), VERIFY_GRANULE);
    if (body == NULL || verify_at(v, node->body, shm_body_size(body), VERIFY_GRANULE) == NULL)
        return NULL;
    return body;
}

/* @return 0, and known says false, where we cannot tell what the node's key is */
static uint64_t hash_of(const struct verify *v, const struct part *part,
                        const struct shm_node *node, bool *known)
{
    uint8_t bytes[SHM_KEY_MAX];
    *known = true;
    if (part->which == IDS)
        return node->hash;
    const struct shm_body *body = body_of(v, node);
    *known = v->image->key_of != NULL && body != NULL;
    if (!*known)
        return 0;
    unsigned key = part->which - 1;
    uint32_t len = shm_unique_key(v->image->key_of, key, body, bytes);
    return shm_unique_hash(v->header, key, bytes, len);
}

/* @return whether the node that `chain` is at belongs there; the chain goes on behind it */
static bool check_node(struct verify *v, const struct part *part, struct chain *chain)
{
    size_t offset = link_offset(part);
    const struct shm_node *owner = (const void *)((uintptr_t)chain->at - offset);
    const struct shm_node *node = verify_at(v, owner, sizeof(*node), VERIFY_GRANULE);
    unsigned long long bucket = chain->bucket;
    bool known;
    if (node == NULL || !verify_get(v->node, verify_bit(v, owner, VERIFY_GRANULE))) {
        verify_fault(v, "%s, bucket %llu: its chain is broken", name_of(part), bucket);
        return false;
    }
    const struct cds_hlist_node *link = (const void *)((const char *)node + offset);
    if ((const void *)link->prev != chain->prev) {
        verify_fault(v, "%s, bucket %llu: user %llu's back link is wrong", name_of(part), bucket,
                     (unsigned long long)node->seq);
        return false;
    }
    if ((hash_of(v, part, node, &known) & (part->table->count - 1)) != chain->bucket && known)
        verify_fault(v, "%s, bucket %llu: user %llu belongs elsewhere", name_of(part), bucket,
                     (unsigned long long)node->seq);
    chain->prev = chain->at;
    chain->at = link->next;
    return true;
}

static void prefetch_node(const struct verify *v, const struct cds_hlist_node *at)
{
    uint64_t offset = verify_offset(at);
    if (offset < v->to)
        __builtin_prefetch(v->image->bytes + offset);
}

static unsigned first_nodes(struct verify *v, const struct part *part, uint64_t from,
                            struct chain *chains)
{
    const struct cds_hlist_head *buckets = verify_at(v, part->table->buckets, 0, SHM_EXTENT);
    uint64_t to = from + RANGE < part->table->count ? from + RANGE : part->table->count;
    unsigned count = 0;
    for (uint64_t i = from; i < to; i++) {
        if (buckets[i].next == NULL)
            continue;
        if (!may_hold(part, i)) {
            verify_fault(v, "%s, bucket %llu: it should be empty", name_of(part),
                         (unsigned long long)i);
            continue;
        }
        chains[count++] = (struct chain){i, &part->table->buckets[i], buckets[i].next};
        prefetch_node(v, buckets[i].next);
    }
    return count;
}

static void check_ranges(struct verify *v, struct verify_tally *tally, struct verify_pieces *pieces)
{
    const struct part *part = pieces->data;
    struct chain chains[RANGE];
    uint64_t i;
    while ((i = verify_take(pieces)) != UINT64_MAX) {
        unsigned count = first_nodes(v, part, i * RANGE, chains);
        while (count > 0) {
            unsigned left = 0;
            for (unsigned c = 0; c < count; c++) {
                bool good = check_node(v, part, &chains[c]);
                tally->linked[part->which] += good;
                if (!good || chains[c].at == NULL)
                    continue;
                prefetch_node(v, chains[c].at);
                chains[left++] = chains[c];
            }
            count = left;
        }
        verify_progress(v, RANGE);
    }
}

/* @return 0 where its count makes no sense */
static uint64_t table_size(const struct shm_table *table)
{
    if (table->count == 0 || (table->count & (table->count - 1)) != 0 ||
        table->count > UINT64_C(1) << 40)
        return 0;
    return shm_table_size(table->count);
}

/* Claims the extents of a table, and checks all its chains. */
static void check_part(struct verify *v, const struct part *part)
{
    const struct shm_table *table = part->table;
    uint64_t size = table_size(table);
    if (size == 0 || verify_at(v, table->buckets, size, SHM_EXTENT) == NULL ||
        !verify_mark(v, &v->sum, table->buckets, size)) {
        verify_fault(v, "%s: its place is wrong", name_of(part));
        return;
    }
    v->sum.bytes_tables += size;
    struct part copy = *part;
    struct verify_pieces pieces = {.count = (table->count + RANGE - 1) / RANGE, .data = &copy};
    verify_spread(v, &pieces, check_ranges);
}

/* A table and, while its nodes move to a larger one, that too: see rebuild_move.c. */
static void check_parts(struct verify *v, unsigned which, const struct shm_table *table,
                        uint64_t moving)
{
    const struct shm_rebuild *rebuild = &v->control->rebuild;
    struct part old = {.table = table, .which = which};
    if (rebuild->to.buckets != NULL && rebuild->what == moving) {
        old.old_count = table->count;
        old.old_done = rebuild->done;
        struct part new = old;
        new.table = &rebuild->to;
        new.is_new = true;
        if (rebuild->to.count <= table->count || rebuild->done > table->count)
            verify_fault(v, "%s: its move to a larger table makes no sense", name_of(&old));
        check_part(v, &new);
    }
    check_part(v, &old);
}

static void check_ids(struct verify *v)
{
    check_parts(v, IDS, &v->control->ids, SHM_REBUILD_IDS);
    if (v->sum.linked[IDS] != v->sum.nodes)
        verify_fault(v, "%llu users are in the hash table, %llu in the order list",
                     (unsigned long long)v->sum.linked[IDS], (unsigned long long)v->sum.nodes);
}

static void check_index(struct verify *v, unsigned key)
{
    const struct shm_control *control = v->control;
    const struct shm_table *table = &control->unique[key];
    if (table->buckets == NULL && table->count == 0) {
        if (v->indexed[key] == 0 && (control->rebuild.to.buckets == NULL ||
                                     control->rebuild.what != SHM_REBUILD_UNIQUE + key))
            return;
        table = &control->rebuild.to;
    }
    check_parts(v, 1 + key, table, SHM_REBUILD_MOVE + key);
    if (v->sum.linked[1 + key] != v->sum.keyed[key])
        verify_fault(v, "%llu users are in unique index %u, %llu say so",
                     (unsigned long long)v->sum.linked[1 + key], key,
                     (unsigned long long)v->sum.keyed[key]);
}

/* Whether a rebuild that is under way is of a table that there is. */
static bool is_rebuild(const struct shm_control *control)
{
    uint64_t what = control->rebuild.what, key = what - SHM_REBUILD_MOVE;
    if (what < SHM_REBUILD_UNIQUE + SHM_KEYS)
        return true;
    return what >= SHM_REBUILD_MOVE && key < SHM_KEYS && control->unique[key].buckets != NULL;
}

/* A table on its way to the free nodes: the rest of it, from its beginning. */
static void check_leftover(struct verify *v)
{
    const struct shm_rebuild *rebuild = &v->control->rebuild;
    const struct shm_table *to = &rebuild->to;
    if (to->buckets == NULL) {
        if (to->count != 0 || rebuild->what != 0 || rebuild->done != 0)
            verify_fault(v, "the state of a rebuild is wrong");
        return;
    }
    if (rebuild->what != SHM_REBUILD_FREE) {
        if (!is_rebuild(v->control))
            verify_fault(v, "the state of a rebuild is wrong");
        return;
    }
    uint64_t size = table_size(to);
    uint64_t freed = rebuild->done * SHM_EXTENT;
    if (size == 0 || rebuild->done >= size / SHM_EXTENT ||
        verify_at(v, to->buckets, size - freed, SHM_EXTENT) == NULL ||
        !verify_mark(v, &v->sum, to->buckets, size - freed))
        verify_fault(v, "the place of a former table is wrong");
    else
        v->sum.bytes_tables += size - freed;
}

void verify_tables(struct verify *v)
{
    check_ids(v);
    for (unsigned key = 0; key < SHM_KEYS; key++)
        check_index(v, key);
    check_leftover(v);
}
