/* SPDX-License-Identifier: MIT */
/*
 * The hash tables. Each chain must consist of nodes of the order list that belong in that bucket
 * and are linked both ways. A node has only one back link, to what points to it, so no walk can
 * meet a node twice: if the walks meet as many nodes as the list has, they meet all of them. In a
 * chain sequence numbers must fall, except those of renamed nodes (hash_chain.h); in chains of ids
 * `born` must not rise. (A new index of a key is filled in order of numbers: rebuild_fill.c.)
 *
 * No two users that are not deleted may have the same id or the same value of a key. Such users
 * have the same hash, and each node must be in the bucket of its hash, so they would be in one
 * chain. (While ids move to a larger table, the one bucket that is moved in parts consists of two
 * chains, which are not compared.) So for each node some bits of its hash are noted, with its
 * bucket. If the same bits occur twice in a range of buckets, the chain is walked again, and its
 * users that are not deleted are sorted by hash: so a thousand dead nodes of one user, or a
 * thousand users in one chain, do not take quadratic time. (The notes are compared later, not at
 * once, because the CPU would have to wait for each node before it could start with the next.)
 *
 * A range of buckets is checked breadth first: the first nodes of all chains are prefetched before
 * one of them is read, then the second nodes, and so on.
 */
#include "shm/verify/verify_tables.h"

#include <stdlib.h>
#include <string.h>

#include "shm/core/layout.h"
#include "shm/core/table_size.h"
#include "shm/core/test_points.h"
#include "shm/store.h"
#include "shm/table/retire.h"
#include "shm/table/unique.h"

enum { RANGE = 512, IDS = 0, HASH_BITS = 14, NOTES = 2 * RANGE };

/* A table, and which of its buckets may hold nodes: see rebuild.c. */
struct part {
    const struct shm_table *table;
    unsigned which;               /* IDS, or 1 + the key's number */
    uint64_t old_count, old_done; /* buckets of the old table, and moved; 0: no move */
    bool is_new;                  /* this is the larger table, to which the nodes move */
};

struct chain {
    uint64_t bucket;
    const void *prev;
    const struct cds_hlist_node *at;
    uint64_t seq;  /* of the last node that is not renamed; UINT64_MAX at first */
    uint64_t born; /* of the last node; UINT64_MAX at first */
};

/* A range of buckets. */
struct range {
    struct chain chains[RANGE];
    uint64_t from; /* the first bucket */
    unsigned notes;
    uint32_t note[NOTES];                /* per node: HASH_BITS of its hash, and its bucket */
    uint64_t met[(1 << HASH_BITS) / 64]; /* the first bits of hashes met so far */
    uint64_t suspect[RANGE / 64];        /* buckets that may have two nodes of one hash */
    uint64_t broken[RANGE / 64];         /* buckets whose chain is broken: not walked again */
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

/* Whether a bucket may hold nodes. While a table moves, the old table's moved buckets are empty,
 * and so are the new table's buckets that are not moved yet; the bucket being moved may be in both.
 */
static bool may_hold(const struct part *part, uint64_t bucket)
{
    if (part->old_count == 0)
        return true;
    uint64_t old = bucket & (part->old_count - 1);
    return old == part->old_done || (old < part->old_done) == part->is_new;
}

/* The newest body of a node, in the image. It has been checked with the node. */
static const struct shm_body *body_of(const struct verify *v, const struct shm_node *node)
{
    const struct shm_body *body = verify_at(v, node->body, sizeof(*body), VERIFY_GRANULE);
    if (body == NULL || verify_at(v, node->body, shm_body_size(body), VERIFY_GRANULE) == NULL)
        return NULL;
    return body;
}

/* The hash that decides a node's bucket. @return 0 with *known false: the key cannot be extracted
 */
static inline __attribute__((always_inline)) uint64_t
hash_of(const struct verify *v, const struct part *part, const struct shm_node *node, bool *known)
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
    *known = len != 0; /* verify_users.c reports a linked node without a key */
    return shm_unique_hash(v->header, key, bytes, len);
}

/* ---- users with the same id or key ---- */

/* A user that is not deleted. */
struct resident {
    uint64_t hash;
    const struct shm_node *node; /* in the image */
};

static int by_hash(const void *a, const void *b)
{
    uint64_t x = ((const struct resident *)a)->hash, y = ((const struct resident *)b)->hash;
    SHM_POINT("residents compared");
    return (x > y) - (x < y);
}

/* Compares two users with the same hash. */
static void compare_residents(struct verify *v, const struct part *part, const struct shm_node *a,
                              const struct shm_node *b)
{
    unsigned long long older = a->seq < b->seq ? a->seq : b->seq;
    unsigned long long younger = a->seq < b->seq ? b->seq : a->seq;
    if (part->which == IDS) {
        if (memcmp(a->id, b->id, SHM_ID_SIZE) == 0)
            verify_fault(v, "%s: users %llu and %llu have the same id", name_of(part), older,
                         younger);
        return;
    }
    uint8_t one[SHM_KEY_MAX], other[SHM_KEY_MAX];
    unsigned key = part->which - 1;
    uint32_t len = shm_unique_key(v->image->key_of, key, body_of(v, a), one);
    if (shm_unique_key(v->image->key_of, key, body_of(v, b), other) == len &&
        memcmp(one, other, len) == 0)
        verify_fault(v, "%s: users %llu and %llu have the same key %u", name_of(part), older,
                     younger, key);
}

/* Collects the users of a chain that are not deleted and whose hash is known. The chain's nodes
 * have been checked. @param all filled with them; NULL: they are only counted. @return how many */
static size_t collect_residents(struct verify *v, const struct part *part, uint64_t bucket,
                                struct resident *all)
{
    const struct cds_hlist_head *buckets = verify_at(v, part->table->buckets, 0, SHM_EXTENT);
    const struct cds_hlist_node *at = buckets[bucket].next;
    size_t offset = link_offset(part), count = 0;
    while (at != NULL) {
        const struct shm_node *node =
            verify_at(v, (const char *)at - offset, sizeof(*node), VERIFY_GRANULE);
        bool known = node->died == SHM_NEVER;
        if (known && all != NULL)
            all[count] = (struct resident){hash_of(v, part, node, &known), node};
        count += known;
        at = ((const struct cds_hlist_node *)(const void *)((const char *)node + offset))->next;
    }
    return count;
}

static void find_same(struct verify *v, const struct part *part, uint64_t bucket)
{
    size_t count = collect_residents(v, part, bucket, NULL);
    if (count < 2)
        return;
    struct resident *all = malloc(count * sizeof(*all));
    if (all == NULL) {
        verify_fault(v, "out of memory");
        return;
    }
    count = collect_residents(v, part, bucket, all);
    qsort(all, count, sizeof(*all), by_hash);
    for (size_t i = 1; i < count; i++)
        if (all[i].hash == all[i - 1].hash)
            compare_residents(v, part, all[i - 1].node, all[i].node);
    free(all);
}

static void look_at_notes(struct range *range)
{
    for (unsigned i = 0; i < range->notes; i++) {
        unsigned bits = range->note[i] / RANGE, bucket = range->note[i] % RANGE;
        if (verify_get(range->met, bits))
            range->suspect[bucket / 64] |= UINT64_C(1) << (bucket % 64);
        range->met[bits / 64] |= UINT64_C(1) << (bits % 64);
    }
    range->notes = 0;
}

static void look_at_suspects(struct verify *v, const struct part *part, struct range *range)
{
    look_at_notes(range);
    for (unsigned i = 0; i < RANGE / 64; i++)
        for (uint64_t left = range->suspect[i] & ~range->broken[i]; left != 0; left &= left - 1)
            find_same(v, part, range->from + i * 64 + (unsigned)__builtin_ctzll(left));
}

/* ---- chains ---- */

/* Checks the node that `chain` is at, and steps to the next one. @return false: the chain is broken
 */
static inline __attribute__((always_inline)) bool check_chained_node(struct verify *v,
                                                                     const struct part *part,
                                                                     struct range *range,
                                                                     struct chain *chain)
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
    bool renamed = (node->state & SHM_NODE_RENAMED) != 0;
    if (!renamed && node->seq >= chain->seq)
        verify_fault(v, "%s, bucket %llu: user %llu is behind user %llu", name_of(part), bucket,
                     (unsigned long long)node->seq, (unsigned long long)chain->seq);
    else if (part->which == IDS && node->born > chain->born)
        verify_fault(v, "%s, bucket %llu: user %llu's newer node is behind an older one",
                     name_of(part), bucket, (unsigned long long)node->seq);
    chain->born = node->born;
    uint64_t hash = hash_of(v, part, node, &known);
    if ((hash & (part->table->count - 1)) != chain->bucket && known)
        verify_fault(v, "%s, bucket %llu: user %llu belongs elsewhere", name_of(part), bucket,
                     (unsigned long long)node->seq);
    /* the upper bits of the hash, which do not choose the bucket */
    range->note[range->notes++] =
        (uint32_t)((hash >> (64 - HASH_BITS)) * RANGE + (chain->bucket - range->from));
    if (!renamed)
        chain->seq = node->seq;
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
                            struct range *range)
{
    const struct cds_hlist_head *buckets = verify_at(v, part->table->buckets, 0, SHM_EXTENT);
    range->from = from;
    range->notes = 0;
    memset(range->met, 0, sizeof(range->met));
    memset(range->suspect, 0, sizeof(range->suspect));
    memset(range->broken, 0, sizeof(range->broken));
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
        struct chain *chain = &range->chains[count++];
        chain->bucket = i;
        chain->prev = &part->table->buckets[i];
        chain->at = buckets[i].next;
        chain->seq = UINT64_MAX;
        chain->born = UINT64_MAX;
        prefetch_node(v, buckets[i].next);
    }
    return count;
}

static void check_ranges(struct verify *v, struct verify_tally *tally, struct verify_pieces *pieces)
{
    const struct part *part = pieces->data;
    struct range range;
    struct chain *chains = range.chains;
    uint64_t i;
    while ((i = verify_take(pieces)) != UINT64_MAX) {
        unsigned count = first_nodes(v, part, i * RANGE, &range);
        while (count > 0) {
            unsigned left = 0;
            for (unsigned c = 0; c < count; c++) {
                struct chain chain = chains[c];
                bool good = check_chained_node(v, part, &range, &chain);
                tally->linked[part->which] += good;
                if (good && chain.at != NULL) {
                    prefetch_node(v, chain.at);
                    chains[left++] = chain;
                } else if (!good) {
                    uint64_t bucket = chain.bucket - range.from;
                    range.broken[bucket / 64] |= UINT64_C(1) << (bucket % 64);
                }
                if (range.notes == NOTES)
                    look_at_notes(&range);
            }
            count = left;
        }
        look_at_suspects(v, part, &range);
        verify_progress(v, RANGE);
    }
}

/* The bytes of a table. @return 0: its count is invalid */
static uint64_t table_bytes(const struct shm_table *table)
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
    uint64_t size = table_bytes(table);
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

/* Checks a table and, while its nodes move to a larger one, that one: see rebuild_move.c. */
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
            verify_fault(v, "%s: its move to a larger table is invalid", name_of(&old));
        check_part(v, &new);
    }
    check_part(v, &old);
}

static void check_id_table(struct verify *v)
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

/* Whether the rebuild that is under way is of a table that exists. */
static bool is_rebuild(const struct shm_control *control)
{
    uint64_t what = control->rebuild.what, key = what - SHM_REBUILD_MOVE;
    if (what < SHM_REBUILD_UNIQUE + SHM_KEYS)
        return true;
    return what >= SHM_REBUILD_MOVE && key < SHM_KEYS && control->unique[key].buckets != NULL;
}

/* Claims the part of an unused table that is not free nodes yet: its front. */
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
    uint64_t size = table_bytes(to);
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
    check_id_table(v);
    for (unsigned key = 0; key < SHM_KEYS; key++)
        check_index(v, key);
    check_leftover(v);
}
