/* SPDX-License-Identifier: MIT */
/* Retired, unlinked and reserved blocks, the free lists, and the rest of the arena. */
#include "shm/verify/verify_memory.h"

#include <string.h>

#include "shm/core/alloc.h"
#include "shm/core/layout.h"
#include "shm/table/retire.h"
#include "shm/table/tower.h"
#include "shm/verify/verify_users.h"

/* ---- retired bodies: still in their chains, which verify_users.c has walked ---- */

/* A list of retired bodies, and how many and how large they should be. */
struct list {
    const char *name;
    unsigned number; /* of the slot whose list it is */
    const struct shm_body *head, *tail;
    uint64_t count, bytes;
    const struct shm_pin *pin; /* the pin that holds the list, or NULL */
};

static void list_fault(struct verify *v, const struct list *list, const char *what)
{
    verify_fault(v, "the %s bodies (slot %u): %s", list->name, list->number, what);
}

/* Whether the pin has a reason to hold the body: the version that the list was made for shows it. A
 * deleted user's newest body is held if the version shows any body of the user. */
static bool is_kept_rightly(const struct verify *v, const struct shm_pin *pin,
                            const struct shm_body *body)
{
    uint64_t born = body->born;
    if (body->state == SHM_BODY_DELETED) {
        const struct shm_node *node =
            verify_at(v, shm_node_of(body), sizeof(*node), VERIFY_GRANULE);
        born = node != NULL ? node->born : born;
    }
    return born <= pin->held_for && pin->held_for < body->died;
}

/* Checks that each body is in a chain, is retired, and is in no other list. */
static void check_retired(struct verify *v, const struct list *list)
{
    uint64_t count = 0, bytes = 0;
    const struct shm_body *last = NULL;
    for (const struct shm_body *p = list->head; p != NULL; count++) {
        const struct shm_body *body = verify_at(v, p, sizeof(*body), VERIFY_GRANULE);
        uint64_t bit = verify_bit(v, p, VERIFY_GRANULE);
        if (body == NULL || !verify_get(v->retired, bit)) {
            list_fault(v, list, "the list is broken");
            return;
        }
        v->retired[bit / 64] &= ~(UINT64_C(1) << (bit % 64));
        bytes += shm_retired_bytes(body, (enum shm_body_state)body->state);
        if (list->pin != NULL && !is_kept_rightly(v, list->pin, body))
            list_fault(v, list, "one is kept for a version that does not show it");
        last = p;
        p = body->link;
    }
    v->sum.retired -= count;
    if (count != list->count || bytes != list->bytes)
        list_fault(v, list, "their number or bytes are wrong");
    if (list->tail != NULL && list->tail != last)
        list_fault(v, list, "the list's tail is wrong");
}

static void check_pins(struct verify *v)
{
    const struct shm_slot *slots = (const void *)(v->image->bytes + SHM_SLOTS_AT);
    uint64_t count = 0, bytes = 0;
    for (unsigned i = 0; i < v->control->slots_ready; i++)
        for (unsigned p = 0; p < SHM_PINS; p++) {
            const struct shm_pin *pin = &slots[i].pins[p];
            if (pin->held == NULL && pin->held_count == 0 && pin->held_bytes == 0)
                continue;
            check_retired(v, &(struct list){.name = "held",
                                            .number = i,
                                            .head = pin->held,
                                            .count = pin->held_count,
                                            .bytes = pin->held_bytes,
                                            .pin = pin});
            if (p >= slots[i].pins_high)
                verify_fault(v, "slot %u: pin %u holds something and was never used", i, p);
            count += pin->held_count;
            bytes += pin->held_bytes;
        }
    if (count != v->control->held_count || bytes != v->control->held_bytes)
        verify_fault(v, "the pins hold %llu bodies of %llu bytes, the segment says %llu of %llu",
                     (unsigned long long)count, (unsigned long long)bytes,
                     (unsigned long long)v->control->held_count,
                     (unsigned long long)v->control->held_bytes);
}

/* ---- unlinked bodies: no chain leads to them any more ---- */

/* Claims the node and the tower that the last body of a deleted user represents. */
static bool claim_node(struct verify *v, const struct shm_body *p, const struct shm_body *body)
{
    const struct shm_node *owner = shm_node_of(body);
    const struct shm_node *node = verify_at(v, owner, sizeof(*node), VERIFY_GRANULE);
    if (node == NULL || !verify_mark(v, &v->sum, owner, sizeof(*node)))
        return false;
    v->sum.bytes_used += sizeof(*node);
    if (node->body != p || node->died != body->died || !verify_node_sound(v, node) ||
        (node->state & ~(uint32_t)SHM_NODE_RENAMED) != SHM_NODE_UNLINKED)
        return false;
    const struct shm_tower *at = (const void *)node->order.prev;
    unsigned height = shm_tower_height(node->hash);
    if (at == NULL) /* no tower, or another node of the user has it */
        return true;
    if (height == 0)
        return false;
    const struct shm_tower *tower = verify_claim_tower(v, &v->sum, at);
    return tower != NULL && tower->node == owner && tower->seq == node->seq &&
           tower->height == height;
}

static void check_unlinked(struct verify *v)
{
    const struct shm_queue *queue = &v->control->unlinked;
    struct list list = {.name = "unlinked"};
    uint64_t count = 0, bytes = 0, token = 0;
    const struct shm_body *last = NULL;
    for (const struct shm_body *p = queue->head; p != NULL; count++) {
        const struct shm_body *body = verify_claim_body(v, &v->sum, p, "unlinked body", count);
        if (body == NULL)
            return;
        enum shm_body_state state = (enum shm_body_state)body->state;
        verify_body(v, body, "unlinked body", count);
        if (state != SHM_BODY_UNLINKED && state != SHM_BODY_LAST)
            list_fault(v, &list, "a body's state is wrong");
        if (state == SHM_BODY_LAST && !claim_node(v, p, body))
            list_fault(v, &list, "a deleted user's node or index entry is wrong");
        if (body->token < token)
            list_fault(v, &list, "the tokens are out of order");
        token = body->token;
        bytes += shm_retired_bytes(body, state);
        last = p;
        p = body->link;
    }
    if (count != queue->count || bytes != queue->bytes)
        list_fault(v, &list, "their number or bytes are wrong");
    if (last != queue->tail)
        list_fault(v, &list, "the list's tail is wrong");
}

/* ---- reserved blocks ---- */

static void check_reserve(struct verify *v, unsigned number, const struct shm_slot *slot)
{
    uint64_t count = 0;
    for (const struct shm_body *p = slot->reserve; p != NULL; count++) {
        const struct shm_body *body = verify_claim_body(v, &v->sum, p, "reserved body", count);
        if (body == NULL)
            return;
        /* LIVE: built by a batch that failed, or whose process died before its commit */
        if (body->state != SHM_BODY_RESERVED && body->state != SHM_BODY_LIVE)
            verify_fault(v, "slot %u: a reserved body's state is wrong", number);
        p = body->link;
    }
    if (count != slot->reserve_count)
        verify_fault(v, "slot %u: the number of its reserved bodies is wrong", number);
}

static void check_reserves(struct verify *v)
{
    const struct shm_slot *slots = (const void *)(v->image->bytes + SHM_SLOTS_AT);
    for (unsigned i = 0; i < v->control->slots_ready; i++)
        check_reserve(v, i, &slots[i]);
}

void verify_queues(struct verify *v)
{
    const struct shm_queue *queue = &v->control->retired;
    check_retired(v, &(struct list){.name = "retired",
                                    .head = queue->head,
                                    .tail = queue->tail,
                                    .count = queue->count,
                                    .bytes = queue->bytes});
    if (queue->head == NULL && queue->tail != NULL)
        verify_fault(v, "the retired bodies: the list's tail is wrong");
    if (queue->head != NULL && queue->tail == NULL)
        verify_fault(v, "the retired bodies: the list has no tail");
    check_pins(v);
    if (v->sum.retired != 0)
        verify_fault(v, "%llu retired bodies are in no list", (unsigned long long)v->sum.retired);
    check_unlinked(v);
    check_reserves(v);
}

/* ---- free blocks ---- */

/* A free list; `link` is the offset of the next block's address in a block. */
struct free_list {
    unsigned word;
    uint64_t size, align;
    size_t link;
};

static struct free_list free_list(uint64_t i)
{
    if (i == SHM_ALLOC_NODE_FREE)
        return (struct free_list){SHM_ALLOC_NODE_FREE, sizeof(struct shm_node), VERIFY_GRANULE,
                                  offsetof(struct shm_node, died)};
    return (struct free_list){(unsigned)i, shm_class_size((unsigned)i), VERIFY_GRANULE, 0};
}

static void check_free(struct verify *v, struct verify_tally *tally, struct verify_pieces *pieces)
{
    uint64_t i;
    while ((i = verify_take(pieces)) != UINT64_MAX) {
        struct free_list list = free_list(i);
        uint64_t next = v->control->alloc[list.word];
        while (next != 0) {
            const void *p = (const void *)(uintptr_t)next;
            const uint8_t *block = verify_at(v, p, list.size, list.align);
            if (block == NULL || !verify_mark(v, tally, p, list.size)) {
                verify_fault(v, "the free list of %llu bytes is broken",
                             (unsigned long long)list.size);
                break;
            }
            tally->free_blocks++;
            tally->bytes_free += list.size;
            memcpy(&next, block + list.link, sizeof(next));
        }
    }
}

static void check_rest(struct verify *v)
{
    uint64_t from = v->control->alloc[SHM_ALLOC_CUR], to = v->control->alloc[SHM_ALLOC_END];
    const void *p = (const void *)(uintptr_t)from;
    if (from == 0 && to == 0)
        return;
    if (to < from || to - from > 16 * SHM_EXTENT || to % SHM_EXTENT != 0 ||
        verify_at(v, p, to - from, VERIFY_GRANULE) == NULL ||
        !verify_mark(v, &v->sum, p, to - from))
        verify_fault(v, "the rest of the current extent is wrong");
    else
        v->sum.bytes_free += to - from;
}

void verify_allocator(struct verify *v)
{
    const struct shm_control *control = v->control;
    struct verify_pieces pieces = {.count = SHM_CLASSES + 1};
    verify_spread(v, &pieces, check_free);
    check_rest(v);
    for (unsigned word = SHM_ALLOC_RESERVED; word < SHM_ALLOC_WORDS; word++)
        if (control->alloc[word] != 0)
            verify_fault(v, "the allocator's reserved words are in use");
    v->sum.bytes_free += control->arena_end - control->alloc[SHM_ALLOC_ARENA_CUR];
    uint64_t granules = (v->to - v->from) / VERIFY_GRANULE;
    if (v->sum.marked != granules)
        verify_fault(v, "%lld bytes of the arena belong to no block",
                     (long long)(granules - v->sum.marked) * VERIFY_GRANULE);
    if (v->sum.bytes_used != control->alloc[SHM_ALLOC_BYTES_USED])
        verify_fault(v, "%llu bytes are in use, the segment says %llu",
                     (unsigned long long)v->sum.bytes_used,
                     (unsigned long long)control->alloc[SHM_ALLOC_BYTES_USED]);
}
