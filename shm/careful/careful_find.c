/* SPDX-License-Identifier: MIT */
/* Lookups in untrusted hash tables. */
#include "shm/careful/careful_find.h"

#include <string.h>

#include "shm/core/grace.h"
#include "shm/core/hash.h"
#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/core/publication.h"
#include "shm/core/store_handle.h"
#include "shm/core/test_points.h"
#include "shm/error.h"
#include "shm/table/unique.h"

/* A search in a chain: by id, or by a key if id is NULL. */
struct search {
    size_t link; /* offset in a node of the chain's links */
    uint64_t bucket, mask;
    uint64_t version;
    const uint8_t *id; /* NULL: search by the key below */
    unsigned key;
    const uint8_t *value;
    uint32_t len;
};

/* Reads a table's address and size, and checks that it lies in readable memory. */
static int read_table(struct careful *c, const struct shm_table *in_segment,
                      struct shm_table *table)
{
    table->buckets = __atomic_load_n(&in_segment->buckets, __ATOMIC_ACQUIRE);
    table->count = __atomic_load_n(&in_segment->count, __ATOMIC_ACQUIRE);
    if (table->count == 0 || (table->count & (table->count - 1)) != 0 ||
        table->count > UINT64_C(1) << 40 ||
        !careful_may_read(c, table->buckets, table->count * 8, SHM_EXTENT))
        return careful_bad(c, "a hash table's place is wrong");
    return SHM_OK;
}

static int wrong_chain(struct careful *c, const struct careful_node *node)
{
    return careful_bad(c, "user number %llu is in the wrong chain of a hash table",
                       (unsigned long long)node->seq);
}

/* The first matching node that was born at or before the version decides, dead or alive:
 * hash_chain.h. If the chain does not have the order that this rule needs, the chain is reported as
 * damaged. */

static int try_id(struct careful *c, const struct search *search, const struct careful_node *node,
                  struct shm_record *record, bool *decided)
{
    if ((node->hash & search->mask) != search->bucket)
        return wrong_chain(c, node);
    if (node->born > search->version || memcmp(node->id, search->id, SHM_ID_SIZE) != 0)
        return SHM_ENOENT;
    *decided = true;
    return careful_record(c, node, search->version, record);
}

/* The key is stored in the body only. */
static int try_key(struct careful *c, const struct search *search, const struct careful_node *node,
                   struct shm_record *record, bool *decided)
{
    uint8_t value[SHM_KEY_MAX];
    bool deleted;
    if (node->born > search->version)
        return SHM_ENOENT;
    int rc = careful_last_record(c, node, search->version, record, &deleted);
    if (rc != SHM_OK)
        return rc;
    uint32_t len = c->store->key_of(search->key, record->body, record->body_len, value);
    if (len > SHM_KEY_MAX ||
        (shm_unique_hash(shm_header(), search->key, value, len) & search->mask) != search->bucket)
        return wrong_chain(c, node);
    *decided = len == search->len && memcmp(value, search->value, len) == 0;
    return *decided && !deleted ? SHM_OK : SHM_ENOENT;
}

/* What ends a walk through a cyclic chain: numbers must decrease. Those of renamed nodes need not,
 * so a node is remembered, after ever longer stretches, and must not come again. */
struct circle {
    uint64_t seq; /* of the last node that is not renamed */
    const struct shm_node *mark;
    uint64_t steps, stretch;
};

static int check_circle(struct careful *c, struct circle *circle, const struct careful_node *node)
{
    if (!careful_node_renamed(node) && node->seq >= circle->seq)
        return careful_bad(c, "user number %llu is behind number %llu in a chain of a hash table",
                           (unsigned long long)node->seq, (unsigned long long)circle->seq);
    if (node->at == circle->mark)
        return careful_bad(c, "user number %llu is in a circle of a hash table",
                           (unsigned long long)node->seq);
    if (!careful_node_renamed(node))
        circle->seq = node->seq;
    if (++circle->steps >= circle->stretch) {
        circle->mark = node->at;
        circle->steps = 0;
        circle->stretch *= 2;
    }
    return SHM_OK;
}

static int search_chain(struct careful *c, const struct search *search, const void *const *word,
                        struct shm_record *record)
{
    struct circle circle = {.seq = UINT64_MAX, .stretch = 1};
    bool decided = false;
    for (;;) {
        struct careful_node node;
        const char *next = __atomic_load_n(word, __ATOMIC_ACQUIRE);
        if (next == NULL)
            return SHM_ENOENT;
        /* Computed as a number, because a damaged word may have any value; careful_node() checks
         * it. */
        const void *at = (const void *)((uintptr_t)next - search->link);
        int rc = careful_node(c, at, "a hash table", &node);
        if (rc == SHM_OK)
            rc = check_circle(c, &circle, &node);
        if (rc == SHM_OK)
            rc = search->id != NULL ? try_id(c, search, &node, record, &decided)
                                    : try_key(c, search, &node, record, &decided);
        if (rc != SHM_ENOENT || decided)
            return rc;
        word = (const void *const *)(const void *)((const char *)node.at + search->link);
    }
}

static int careful_find_in(struct careful *c, const struct shm_table *in_segment, uint64_t hash,
                           struct search *search, struct shm_record *record)
{
    struct shm_table table;
    search->version = shm_published_version(); /* loaded before anything else: see lookup.c */
    SHM_POINT("careful lookup");
    int rc = read_table(c, in_segment, &table);
    if (rc != SHM_OK)
        return rc;
    search->mask = table.count - 1;
    search->bucket = hash & search->mask;
    return search_chain(c, search, (const void *const *)&table.buckets[search->bucket], record);
}

int careful_find(struct careful *c, const uint8_t id[SHM_ID_SIZE], struct shm_record *record)
{
    struct search search = {.link = offsetof(struct shm_node, by_id), .id = id};
    return careful_find_in(c, &shm_control()->ids, shm_hash_id(shm_header(), id), &search, record);
}

int careful_find_key(struct careful *c, unsigned key, const uint8_t *value, uint32_t len,
                     struct shm_record *record)
{
    struct search search = {.link = offsetof(struct shm_node, unique) +
                                    key * sizeof(struct cds_hlist_node),
                            .key = key,
                            .value = value,
                            .len = len};
    return careful_find_in(c, &shm_control()->unique[key],
                           shm_unique_hash(shm_header(), key, value, len), &search, record);
}
