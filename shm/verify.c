/* SPDX-License-Identifier: MIT */
/*
 * Every invariant, checked on an image of a segment that is taken as hostile:
 * a pointer is an offset to be tested for range and alignment, every block is
 * marked in a bitmap of 16-byte granules, so that an overlap is found, a walk
 * in a circle ends, and in the end the granules that nobody owns are a leak.
 */
#include "config.h"

#include "shm/verify.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "shm/alloc.h"
#include "shm/hash.h"

enum { GRANULE = 16 };

struct verify {
    const uint8_t *image;
    const struct shm_header *header;
    const struct shm_control *control;
    uint64_t from, to; /* offsets of the arena's used part */
    uint64_t granules;
    uint64_t *taken, *node, *hashed, *tower; /* bitmaps: used at all, starts of records */
    uint64_t marked, nodes, live, towers[SHM_LEVELS];
    struct shm_verify_report *report;
    void (*on_fault)(void *data, const char *line);
    void *data;
};

static void __attribute__((format(printf, 2, 3))) fault(struct verify *v, const char *format, ...)
{
    char line[256];
    va_list args;
    v->report->faults++;
    if (v->on_fault == NULL)
        return;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    v->on_fault(v->data, line);
}

static uint64_t offset_of(const void *pointer)
{
    return (uint64_t)(uintptr_t)pointer - SHM_BASE;
}

static const void *bucket_address(const struct verify *v, uint64_t i)
{
    return &v->control->ids.buckets[i];
}

static const void *order_address(void)
{
    return (const void *)(uintptr_t)(SHM_BASE + SHM_CONTROL_AT +
                                     offsetof(struct shm_control, order));
}

/* What a segment's pointer leads to in the image, or NULL. */
static const void *at(const struct verify *v, const void *pointer, uint64_t size, uint64_t align)
{
    uint64_t offset = offset_of(pointer);
    if (offset < v->from || offset > v->to || size > v->to - offset || offset % align != 0)
        return NULL;
    return v->image + offset;
}

static bool get(const struct verify *v, const uint64_t *map, const void *pointer)
{
    uint64_t bit = (offset_of(pointer) - v->from) / GRANULE;
    return (map[bit / 64] >> (bit % 64) & 1) != 0;
}

static void set(const struct verify *v, uint64_t *map, const void *pointer)
{
    uint64_t bit = (offset_of(pointer) - v->from) / GRANULE;
    map[bit / 64] |= UINT64_C(1) << (bit % 64);
}

/* Claims [pointer, pointer + size), whose range has been tested. */
static bool mark(struct verify *v, const void *pointer, uint64_t size)
{
    uint64_t first = (offset_of(pointer) - v->from) / GRANULE;
    for (uint64_t bit = first; bit < first + size / GRANULE; bit++) {
        if ((v->taken[bit / 64] >> (bit % 64) & 1) != 0)
            return false;
        v->taken[bit / 64] |= UINT64_C(1) << (bit % 64);
    }
    v->marked += size / GRANULE;
    return true;
}

/* ---- bodies ---- */

/* @return the body in the image, claimed, or NULL with a fault reported */
static const struct shm_body *claim_body(struct verify *v, const struct shm_body *pointer,
                                         uint64_t seq)
{
    const struct shm_body *body = at(v, pointer, sizeof(*body), GRANULE);
    if (body == NULL || body->length == 0 || body->length > SHM_BODY_MAX) {
        fault(v, "user %llu: a body's pointer or length is wrong", (unsigned long long)seq);
        return NULL;
    }
    uint64_t size = shm_class_size(shm_class_of(sizeof(*body) + body->length));
    if (at(v, pointer, size, GRANULE) == NULL || !mark(v, pointer, size)) {
        fault(v, "user %llu: a body overlaps something else", (unsigned long long)seq);
        return NULL;
    }
    v->report->bytes_used += size;
    v->report->bodies++;
    return body;
}

static void check_body(struct verify *v, const struct shm_body *body, const struct shm_node *node,
                       struct shm_body *const *from, uint64_t died)
{
    unsigned long long seq = node->seq;
    uint32_t bytes = shm_check_bytes(body->bytes, body->length);
    if (body->check != shm_check_body(bytes, body->born))
        fault(v, "user %llu: a body's checksum is wrong", seq);
    if (body->from != from)
        fault(v, "user %llu: a body's back link is wrong", seq);
    if (body->born < node->born || body->born > v->control->version || body->died != died)
        fault(v, "user %llu: a body's versions are wrong", seq);
    if (died == SHM_NEVER && body->state != SHM_BODY_LIVE)
        fault(v, "user %llu: its body's state is wrong", seq);
    if (died != SHM_NEVER && body->state != SHM_BODY_REPLACED && body->state != SHM_BODY_DELETED)
        fault(v, "user %llu: a retired body's state is wrong", seq);
}

static void check_bodies(struct verify *v, const struct shm_node *node,
                         const struct shm_node *owner)
{
    uint64_t died = node->died;
    struct shm_body *const *from = &owner->body;
    if (node->body == NULL)
        fault(v, "user %llu: it has no body", (unsigned long long)node->seq);
    for (const struct shm_body *p = node->body; p != NULL;) {
        const struct shm_body *body = claim_body(v, p, node->seq);
        if (body == NULL)
            return;
        check_body(v, body, node, from, died);
        died = body->born;
        from = &p->prev;
        p = body->prev;
    }
}

/* ---- nodes: the order list ---- */

static void check_node(struct verify *v, const struct shm_node *node, const void *prev,
                       const struct shm_node *last)
{
    unsigned long long seq = node->seq;
    if (node->check != shm_check_node(node) || node->hash != shm_hash_id(v->header, node->id))
        fault(v, "user %llu: its checksum or hash is wrong", seq);
    if ((const void *)node->order.prev != prev)
        fault(v, "user %llu: its back link is wrong", seq);
    if (node->state != SHM_NODE_LIVE)
        fault(v, "user %llu: its state is wrong", seq);
    if (node->seq == 0 || node->seq > v->control->seq || (last != NULL && node->seq <= last->seq))
        fault(v, "user %llu: its sequence number is out of order", seq);
    if (node->born == 0 || node->born > v->control->version || node->died <= node->born ||
        (node->died != SHM_NEVER && node->died > v->control->version) ||
        (last != NULL && node->born < last->born))
        fault(v, "user %llu: its versions are wrong", seq);
}

static void check_order(struct verify *v)
{
    const struct shm_node *last = NULL;
    const void *prev = order_address();
    const void *next = v->control->order.next;
    while (next != order_address()) {
        const struct shm_node *owner =
            (const void *)((uintptr_t)next - offsetof(struct shm_node, order));
        const struct shm_node *node = at(v, owner, sizeof(*node), SHM_LINE);
        if (node == NULL || !mark(v, owner, sizeof(*node))) {
            fault(v, "after user %llu: the order list is broken",
                  (unsigned long long)(last != NULL ? last->seq : 0));
            return;
        }
        set(v, v->node, owner);
        check_node(v, node, prev, last);
        check_bodies(v, node, owner);
        v->report->bytes_used += sizeof(*node);
        v->nodes++;
        v->live += node->died == SHM_NEVER;
        unsigned height = shm_tower_height(node->hash);
        for (unsigned level = 0; level < height; level++)
            v->towers[level]++;
        last = node;
        prev = next;
        next = node->order.next;
    }
    if ((const void *)v->control->order.prev != prev)
        fault(v, "the order list's tail is wrong");
}

/* ---- the hash table ---- */

static uint64_t check_bucket(struct verify *v, uint64_t i)
{
    const struct cds_hlist_head *buckets = at(v, v->control->ids.buckets, 0, SHM_EXTENT);
    const void *prev = bucket_address(v, i);
    uint64_t count = 0;
    for (const struct cds_hlist_node *p = buckets[i].next; p != NULL; count++) {
        const struct shm_node *node = at(v, p, sizeof(*node), SHM_LINE);
        if (node == NULL || !get(v, v->node, p) || get(v, v->hashed, p)) {
            fault(v, "bucket %llu: its chain is broken", (unsigned long long)i);
            return count;
        }
        set(v, v->hashed, p);
        if ((const void *)node->by_id.prev != prev)
            fault(v, "bucket %llu: user %llu's back link is wrong", (unsigned long long)i,
                  (unsigned long long)node->seq);
        if ((node->hash & (v->control->ids.count - 1)) != i)
            fault(v, "bucket %llu: user %llu belongs elsewhere", (unsigned long long)i,
                  (unsigned long long)node->seq);
        prev = p;
        p = node->by_id.next;
    }
    return count;
}

/* Claims the extents of a table. @return whether its buckets may be looked at */
static bool claim_table(struct verify *v, const struct shm_table *table)
{
    uint64_t size = shm_round_up(8 * table->count, SHM_EXTENT);
    if (table->count == 0 || (table->count & (table->count - 1)) != 0 ||
        table->count > UINT64_C(1) << 40 || at(v, table->buckets, size, SHM_EXTENT) == NULL ||
        !mark(v, table->buckets, size)) {
        fault(v, "a hash table's place is wrong");
        return false;
    }
    v->report->bytes_tables += size;
    return true;
}

static void check_buckets(struct verify *v)
{
    uint64_t count = 0;
    if (!claim_table(v, &v->control->ids))
        return;
    for (uint64_t i = 0; i < v->control->ids.count; i++)
        count += check_bucket(v, i);
    if (count != v->nodes)
        fault(v, "%llu users are in the hash table, %llu in the order list",
              (unsigned long long)count, (unsigned long long)v->nodes);
}

/* ---- the sparse index ---- */

static bool claim_tower(struct verify *v, const struct shm_tower *p)
{
    const struct shm_tower *tower = at(v, p, sizeof(*tower), GRANULE);
    if (tower == NULL || tower->height == 0 || tower->height > SHM_LEVELS)
        return false;
    uint64_t size = sizeof(*tower) + tower->height * sizeof(tower);
    size = shm_class_size(shm_class_of(size));
    if (at(v, p, size, GRANULE) == NULL || !mark(v, p, size))
        return false;
    set(v, v->tower, p);
    v->report->bytes_used += size;
    const struct shm_node *node = at(v, tower->node, sizeof(*node), SHM_LINE);
    if (node == NULL || !get(v, v->node, tower->node) || node->seq != tower->seq ||
        shm_tower_height(node->hash) != tower->height)
        fault(v, "the index entry of user %llu is wrong", (unsigned long long)tower->seq);
    return true;
}

/* Level 0 has every tower and claims it; a level above must be among those. */
static void check_level(struct verify *v, unsigned level)
{
    uint64_t count = 0, seq = 0;
    uint64_t tail = SHM_CONTROL_AT + offsetof(struct shm_control, index) + 8 * level;
    for (const struct shm_tower *p = v->control->index[level]; p != NULL; count++) {
        const struct shm_tower *tower = at(v, p, sizeof(*p), GRANULE);
        bool good = tower != NULL && (level == 0 ? claim_tower(v, p) : get(v, v->tower, p));
        if (!good || tower->height <= level || tower->seq <= seq) {
            fault(v, "the index by sequence is broken on level %u after user %llu", level,
                  (unsigned long long)seq);
            return;
        }
        seq = tower->seq;
        tail = offset_of(p) + offsetof(struct shm_tower, next) + 8 * level;
        p = tower->next[level];
    }
    if (count != v->towers[level] || offset_of(v->control->index_tail[level]) != tail)
        fault(v, "the index by sequence is incomplete on level %u", level);
}

/* ---- retired blocks, free blocks, and what is left ---- */

static void check_queue(struct verify *v, const struct shm_queue *queue, const char *name)
{
    uint64_t count = 0;
    const struct shm_body *last = NULL;
    const struct shm_body *p = queue->head;
    for (; p != NULL && count < queue->count; count++) {
        const struct shm_body *body = at(v, p, sizeof(*body), GRANULE);
        if (body == NULL || (body->state == SHM_BODY_UNLINKED && claim_body(v, p, 0) == NULL)) {
            fault(v, "the queue of %s blocks is broken", name);
            return;
        }
        last = p;
        p = body->link;
    }
    if (count != queue->count || last != queue->tail || p != NULL)
        fault(v, "the queue of %s blocks is wrong", name);
}

static void check_free(struct verify *v, unsigned class, uint64_t size, size_t link, uint64_t align)
{
    uint64_t next = v->control->alloc[class];
    while (next != 0) {
        const void *p = (const void *)(uintptr_t)next;
        const uint8_t *block = at(v, p, size, align);
        if (block == NULL || !mark(v, p, size)) {
            fault(v, "the free list of %llu bytes is broken", (unsigned long long)size);
            return;
        }
        v->report->free_blocks++;
        v->report->bytes_free += size;
        memcpy(&next, block + link, sizeof(next));
    }
}

static void check_rest(struct verify *v, unsigned cur, unsigned end, const char *name)
{
    uint64_t from = v->control->alloc[cur], to = v->control->alloc[end];
    const void *p = (const void *)(uintptr_t)from;
    if (from == 0 && to == 0)
        return;
    if (to < from || to - from > 16 * SHM_EXTENT || to % SHM_EXTENT != 0 ||
        at(v, p, to - from, GRANULE) == NULL || !mark(v, p, to - from))
        fault(v, "the rest of the extent of %s is wrong", name);
    else
        v->report->bytes_free += to - from;
}

static void check_allocator(struct verify *v)
{
    for (unsigned class = 0; class < SHM_CLASSES; class ++)
        check_free(v, class, shm_class_size(class), 0, GRANULE);
    check_free(v, SHM_ALLOC_NODE_FREE, sizeof(struct shm_node), offsetof(struct shm_node, died),
               SHM_LINE);
    check_free(v, SHM_ALLOC_EXTENT_FREE, SHM_EXTENT, 0, SHM_EXTENT);
    check_rest(v, SHM_ALLOC_NODE_CUR, SHM_ALLOC_NODE_END, "nodes");
    check_rest(v, SHM_ALLOC_BLOCK_CUR, SHM_ALLOC_BLOCK_END, "blocks");
    if (v->marked != v->granules)
        fault(v, "%llu bytes of the arena belong to nobody",
              (unsigned long long)(v->granules - v->marked) * GRANULE);
    if (v->report->bytes_used != v->control->alloc[SHM_ALLOC_BYTES_USED])
        fault(v, "%llu bytes are in use, the segment says %llu",
              (unsigned long long)v->report->bytes_used,
              (unsigned long long)v->control->alloc[SHM_ALLOC_BYTES_USED]);
}

/* ---- control pages ---- */

static void check_feed(struct verify *v)
{
    const struct shm_feed_entry *ring = (const void *)(v->image + SHM_FEED_AT);
    uint64_t head = v->control->feed_head, last = 0;
    uint64_t keep = SHM_FEED_SIZE - SHM_BATCH_MAX;
    for (uint64_t n = head > keep ? head - keep : 0; n < head; n++) {
        const struct shm_feed_entry *entry = &ring[n % SHM_FEED_SIZE];
        if (entry->version < last || entry->version > v->control->version || entry->kind == 0 ||
            entry->kind > SHM_DELETED) {
            fault(v, "the change feed's entry %llu is wrong", (unsigned long long)n);
            return;
        }
        last = entry->version;
    }
    if (head != 0 && last != v->control->version)
        fault(v, "the change feed ends at version %llu, the table at %llu",
              (unsigned long long)last, (unsigned long long)v->control->version);
}

static void check_slots(struct verify *v)
{
    const struct shm_slot *slots = (const void *)(v->image + SHM_SLOTS_AT);
    for (unsigned i = 0; i < v->control->slots_ready; i++) {
        if (slots[i].state > 1 || slots[i].ctr > v->control->gp)
            fault(v, "slot %u: its state or grace period is wrong", i);
        for (unsigned p = 0; p < SHM_PINS; p++)
            if (slots[i].pins[p].count != 0 && slots[i].pins[p].version > v->control->version)
                fault(v, "slot %u: pin %u is of a version to come", i, p);
    }
}

static bool check_control(struct verify *v, uint64_t size)
{
    const struct shm_control *control = v->control;
    uint64_t cur = control->alloc[SHM_ALLOC_ARENA_CUR];
    if (control->arena_end - SHM_BASE > size || cur > control->arena_end ||
        cur < SHM_BASE + SHM_ARENA_AT || cur % SHM_EXTENT != 0 ||
        control->slots_ready > SHM_SLOTS || control->slots_ready % SHM_SLOTS_STEP != 0) {
        fault(v, "the control page's bounds are wrong");
        return false;
    }
    if (control->gp == 0 || control->seq < control->users || control->users > control->max_users)
        fault(v, "the control page's counts are wrong");
    if (((const struct shm_log *)(const void *)(v->image + SHM_LOG_AT))->state != SHM_LOG_IDLE)
        fault(v, "the redo log is in use");
    return true;
}

static void check_all(struct verify *v)
{
    check_order(v);
    check_buckets(v);
    for (unsigned level = 0; level < SHM_LEVELS; level++)
        check_level(v, level);
    check_queue(v, &v->control->retired, "retired");
    check_queue(v, &v->control->unlinked, "unlinked");
    check_allocator(v);
    check_feed(v);
    check_slots(v);
    v->report->users = v->live;
    if (v->live != v->control->users)
        fault(v, "%llu users are there, the segment says %llu", (unsigned long long)v->live,
              (unsigned long long)v->control->users);
}

int shm_verify_image(const uint8_t *image, uint64_t size, struct shm_verify_report *report,
                     void (*on_fault)(void *data, const char *line), void *data)
{
    memset(report, 0, sizeof(*report));
    struct verify v = {.image = image, .report = report, .on_fault = on_fault, .data = data};
    v.header = (const void *)image;
    v.control = (const void *)(image + SHM_CONTROL_AT);
    struct shm_fault why;
    if (shm_check_header(v.header, "image", &why) != SHM_OK)
        fault(&v, "%s", why.text);
    else if (check_control(&v, size)) {
        v.from = SHM_ARENA_AT;
        v.to = v.control->alloc[SHM_ALLOC_ARENA_CUR] - SHM_BASE;
        v.granules = (v.to - v.from) / GRANULE;
        size_t words = v.granules / 64 + 1;
        uint64_t *maps = calloc(4 * words, sizeof(*maps));
        if (maps == NULL)
            return SHM_ESYS;
        v.taken = maps;
        v.node = maps + words;
        v.hashed = maps + 2 * words;
        v.tower = maps + 3 * words;
        check_all(&v);
        free(maps);
    }
    return report->faults == 0 ? SHM_OK : SHM_ECORRUPT;
}
