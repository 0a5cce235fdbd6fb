/* SPDX-License-Identifier: MIT */
/*
 * The order list with its nodes and bodies, and the sparse index over it.
 *
 * The list is cut into pieces, at the towers of some level. A thread walks a piece from its first
 * node up to the next piece's first node, together with the towers of level 0. Afterwards the ends
 * of the pieces must fit each other. A thread walks several pieces in turn: it prefetches the next
 * node of one piece while it checks nodes of the others, because in a table after years of changes
 * neighbours in the list are not neighbours in memory.
 *
 * If a tower is wrong its piece is wrong, too. Then the walk leaves the piece, and ends at a node
 * that is claimed already or at the list's head.
 */
#include "shm/verify/verify_users.h"

#include <stdlib.h>
#include <string.h>

#include "shm/core/alloc.h"
#include "shm/core/hash.h"
#include "shm/store.h"
#include "shm/table/retire.h"
#include "shm/table/tower.h"
#include "shm/table/unique.h"

enum { PIECES_MIN = 256, PIECES_MAX = 4096, AT_ONCE = 8, TELL_EVERY = 4096 };

/* What is known between two nodes of the list: the end of one piece, where the next one starts. */
struct seam {
    const void *link;   /* address of the last node's `order`, or of the list's head */
    uint64_t seq, born; /* of the last node */
    uint8_t id[SHM_ID_SIZE];
    uint64_t newest;               /* the greatest `born` so far, of nodes that are not renamed */
    const struct shm_tower *tower; /* the next tower of level 0 */
    uint64_t tower_tail;           /* offset of the word that points to it */
};

struct piece {
    const void *start; /* address of the first node's `order` */
    const struct shm_tower *tower;
    const struct shm_node *first; /* in the image */
    uint64_t oldest; /* `born` of the first node that is not renamed; 0: there is none */
    struct seam end;
    bool empty, broken;
};

/* A piece being walked. */
struct walk {
    struct piece *piece;
    const void *next, *stop;
    const struct shm_node *pending; /* the last node: its bodies, prefetched, are checked next */
    const struct shm_node *owner;   /* its address in the segment */
};

static const void *order_address(void)
{
    return (const void *)(uintptr_t)(SHM_BASE + SHM_CONTROL_AT +
                                     offsetof(struct shm_control, order));
}

static const struct shm_node *owner_of(const void *order)
{
    return (const void *)((uintptr_t)order - offsetof(struct shm_node, order));
}

static void prefetch(const struct verify *v, const void *pointer, unsigned lines)
{
    uint64_t offset = verify_offset(pointer);
    for (unsigned i = 0; i < lines && offset < v->to; i++)
        __builtin_prefetch(v->image->bytes + offset + i * SHM_LINE);
}

/* ---- bodies ---- */

const struct shm_body *verify_claim_body(struct verify *v, struct verify_tally *tally,
                                         const struct shm_body *pointer, const char *whose,
                                         uint64_t seq)
{
    const struct shm_body *body = verify_at(v, pointer, sizeof(*body), VERIFY_GRANULE);
    if (body == NULL || body->length == 0 || body->length > SHM_BODY_MAX ||
        body->hidden > SHM_BODY_MAX - body->length) {
        verify_fault(v, "%s %llu: a body's pointer or length is wrong", whose,
                     (unsigned long long)seq);
        return NULL;
    }
    uint64_t size = shm_class_size(shm_class_of(shm_body_size(body)));
    if (verify_at(v, pointer, size, VERIFY_GRANULE) == NULL ||
        !verify_mark(v, tally, pointer, size)) {
        verify_fault(v, "%s %llu: a body overlaps something else", whose, (unsigned long long)seq);
        return NULL;
    }
    tally->bytes_used += size;
    tally->bodies++;
    return body;
}

void verify_body(struct verify *v, const struct shm_body *body, const char *whose, uint64_t seq)
{
    uint32_t bytes =
        shm_check_parts(body->bytes, body->length, body->bytes + body->length, body->hidden);
    if (body->check != shm_check_body(bytes, body->born))
        verify_fault(v, "%s %llu: a body's checksum is wrong", whose, (unsigned long long)seq);
    bool live = body->state == SHM_BODY_LIVE;
    if (live ? body->died != SHM_NEVER || body->token != 0
             : body->died <= body->born || body->died > v->control->version || body->token == 0 ||
                   body->token > v->control->gp)
        verify_fault(v, "%s %llu: a body's end or token is wrong", whose, (unsigned long long)seq);
}

/* Checks one body of a node. @param newer the body before it in the chain, NULL for the newest */
static void check_body(struct verify *v, struct verify_tally *tally, const struct shm_node *node,
                       const struct shm_body *body, const struct shm_body *newer)
{
    unsigned state = newer != NULL             ? SHM_BODY_REPLACED
                     : node->died != SHM_NEVER ? SHM_BODY_DELETED
                                               : SHM_BODY_LIVE;
    verify_body(v, body, "user", node->seq);
    if (body->born < node->born || body->born > v->control->version ||
        (newer != NULL ? body->died > newer->born : body->died != node->died))
        verify_fault(v, "user %llu: a body's versions are wrong", (unsigned long long)node->seq);
    if (body->state != state)
        verify_fault(v, "user %llu: a body's state is %u, not %u", (unsigned long long)node->seq,
                     body->state, state);
    tally->retired += state != SHM_BODY_LIVE;
}

/* Checks that a node is in the index of each key that its body has, except users that were deleted
 * before the index was built. verify_tables.c checks the index itself. */
static void check_user_keys(struct verify *v, struct verify_tally *tally,
                            const struct shm_node *node, const struct shm_body *body)
{
    uint8_t bytes[SHM_KEY_MAX];
    for (unsigned key = 0; key < SHM_KEYS; key++) {
        if (node->seq > v->indexed[key])
            continue;
        bool linked = node->unique[key].prev != NULL;
        tally->keyed[key] += linked;
        if (v->image->key_of == NULL || (!linked && node->died != SHM_NEVER))
            continue;
        if (linked != (shm_unique_key(v->image->key_of, key, body, bytes) != 0))
            verify_fault(v, "user %llu: it should%s be in the index of key %u",
                         (unsigned long long)node->seq, linked ? " not" : "", key);
    }
}

static void check_bodies(struct verify *v, struct verify_tally *tally, const struct shm_node *node,
                         const struct shm_node *owner)
{
    struct shm_body *const *from = &owner->body;
    const struct shm_body *newer = NULL;
    if (node->body == NULL)
        verify_fault(v, "user %llu: it has no body", (unsigned long long)node->seq);
    for (const struct shm_body *p = node->body; p != NULL;) {
        const struct shm_body *body = verify_claim_body(v, tally, p, "user", node->seq);
        if (body == NULL)
            return;
        check_body(v, tally, node, body, newer);
        if (body->from != from)
            verify_fault(v, "user %llu: a body's back link is wrong",
                         (unsigned long long)node->seq);
        if (body->state != SHM_BODY_LIVE)
            verify_set(v->retired, verify_bit(v, p, VERIFY_GRANULE));
        if (newer == NULL)
            check_user_keys(v, tally, node, body);
        newer = body;
        from = &p->prev;
        p = body->prev;
    }
}

/* ---- nodes ---- */

bool verify_node_sound(const struct verify *v, const struct shm_node *node)
{
    return node->check == shm_check_node(node) && node->hash == shm_hash_id(v->header, node->id);
}

static bool is_renamed(const struct shm_node *node)
{
    return (node->state & SHM_NODE_RENAMED) != 0;
}

static void check_user_node(struct verify *v, const struct shm_node *node)
{
    unsigned long long seq = node->seq;
    if (!verify_node_sound(v, node))
        verify_fault(v, "user %llu: its checksum or hash is wrong", seq);
    if ((node->state & ~(uint32_t)SHM_NODE_RENAMED) != SHM_NODE_LIVE)
        verify_fault(v, "user %llu: its state is wrong", seq);
    if (node->seq == 0 || node->seq > v->control->seq)
        verify_fault(v, "user %llu: there has been no such sequence number", seq);
    if (node->born == 0 || node->born > v->control->version || node->died <= node->born ||
        (node->died != SHM_NEVER && node->died > v->control->version))
        verify_fault(v, "user %llu: its versions are wrong", seq);
}

/* Checks a node against the node before it in the list. Of the nodes of one number, each has ended
 * when the one before it was made: rename.h. */
static void check_link(struct verify *v, const struct shm_node *node, const struct seam *last)
{
    unsigned long long seq = node->seq;
    if (node->order.prev != last->link)
        verify_fault(v, "user %llu: its back link is wrong", seq);
    if (node->seq < last->seq)
        verify_fault(v, "user %llu: its sequence number is out of order", seq);
    if (node->seq == last->seq &&
        (node->died > last->born || memcmp(node->id, last->id, SHM_ID_SIZE) != 0))
        verify_fault(v, "user %llu: two of its nodes do not follow each other", seq);
    if (!is_renamed(node) && node->born < last->newest)
        verify_fault(v, "user %llu: it is older than the one before it", seq);
}

/* ---- towers of level 0, beside the nodes ---- */

const struct shm_tower *verify_claim_tower(struct verify *v, struct verify_tally *tally,
                                           const struct shm_tower *p)
{
    const struct shm_tower *tower = verify_at(v, p, sizeof(*tower), VERIFY_GRANULE);
    if (tower == NULL || tower->height == 0 || tower->height > SHM_LEVELS)
        return NULL;
    uint64_t size = shm_class_size(shm_class_of(sizeof(*tower) + tower->height * sizeof(tower)));
    if (verify_at(v, p, size, VERIFY_GRANULE) == NULL || !verify_mark(v, tally, p, size))
        return NULL;
    tally->bytes_used += size;
    return tower;
}

static void check_tower(struct verify *v, struct verify_tally *tally, const struct shm_node *node,
                        const struct shm_node *owner, unsigned height, struct seam *at)
{
    const struct shm_tower *p = at->tower;
    const struct shm_tower *tower = verify_claim_tower(v, tally, p);
    for (unsigned level = 0; level < height; level++)
        tally->towers[level]++;
    if (tower == NULL || tower->node != owner || tower->seq != node->seq ||
        tower->height != height) {
        verify_fault(v, "the index entry of user %llu is wrong", (unsigned long long)node->seq);
        return;
    }
    verify_set(v->tower, verify_bit(v, p, VERIFY_GRANULE));
    at->tower = tower->next[0];
    at->tower_tail = verify_offset(&p->next[0]);
    prefetch(v, at->tower, 1);
}

/* ---- walks ---- */

static void finish_bodies(struct verify *v, struct verify_tally *tally, struct walk *walk)
{
    if (walk->pending != NULL)
        check_bodies(v, tally, walk->pending, walk->owner);
    walk->pending = NULL;
}

/* Checks one node of a piece. @return whether there is another */
static bool piece_step(struct verify *v, struct verify_tally *tally, struct walk *walk)
{
    finish_bodies(v, tally, walk);
    if (walk->next == walk->stop)
        return false;
    struct piece *piece = walk->piece;
    const struct shm_node *owner = owner_of(walk->next);
    const struct shm_node *node = verify_at(v, owner, sizeof(*node), VERIFY_GRANULE);
    if (node == NULL || !verify_mark(v, tally, owner, sizeof(*node))) {
        verify_fault(v, "after user %llu: the order list is broken",
                     (unsigned long long)piece->end.seq);
        piece->broken = true;
        return false;
    }
    verify_set(v->node, verify_bit(v, owner, VERIFY_GRANULE));
    prefetch(v, node->body, 2);
    prefetch(v, owner_of(node->order.next), 2);
    check_user_node(v, node);
    bool first = piece->empty;
    if (first)
        piece->first = node;
    else
        check_link(v, node, &piece->end);
    unsigned height = shm_tower_height(node->hash);
    if (height != 0 && (first || node->seq != piece->end.seq)) /* a user's newest node has it */
        check_tower(v, tally, node, owner, height, &piece->end);
    piece->empty = false;
    piece->end.link = walk->next;
    piece->end.seq = node->seq;
    piece->end.born = node->born;
    memcpy(piece->end.id, node->id, SHM_ID_SIZE);
    if (!is_renamed(node)) {
        piece->end.newest = node->born;
        if (piece->oldest == 0)
            piece->oldest = node->born;
    }
    tally->bytes_used += sizeof(*node);
    tally->nodes++;
    tally->live += node->died == SHM_NEVER;
    walk->pending = node;
    walk->owner = owner;
    walk->next = node->order.next;
    return true;
}

static bool piece_begin(struct verify *v, struct verify_pieces *pieces, struct walk *walk)
{
    uint64_t i = verify_take(pieces);
    if (i == UINT64_MAX)
        return false;
    struct piece *piece = (struct piece *)pieces->data + i;
    *walk = (struct walk){.piece = piece, .next = piece->start};
    walk->stop = i + 1 < pieces->count ? piece[1].start : order_address();
    piece->empty = true;
    piece->end.tower = piece->tower;
    prefetch(v, owner_of(piece->start), 2);
    return true;
}

static void walk_pieces(struct verify *v, struct verify_tally *tally, struct verify_pieces *pieces)
{
    struct walk walks[AT_ONCE];
    unsigned count = 0;
    uint64_t told = tally->nodes;
    while (count < AT_ONCE && piece_begin(v, pieces, &walks[count]))
        count++;
    while (count > 0) {
        for (unsigned i = 0; i < count;) {
            if (piece_step(v, tally, &walks[i]) || piece_begin(v, pieces, &walks[i]))
                i++;
            else
                walks[i] = walks[--count];
        }
        if (tally->nodes >= told + TELL_EVERY) {
            verify_progress(v, tally->nodes - told);
            told = tally->nodes;
        }
    }
}

/* ---- pieces ---- */

static uint64_t index_word(unsigned level)
{
    return SHM_CONTROL_AT + offsetof(struct shm_control, index) + 8 * level;
}

/* Cuts the list at the towers of this level, up to the first tower that is wrong; verify_levels()
 * reports that. @return the number of pieces */
static uint64_t cut_pieces(const struct verify *v, unsigned level, struct piece *pieces)
{
    uint64_t count = 1, seq = 0;
    pieces[0] = (struct piece){.start = v->control->order.next, .tower = v->control->index[0]};
    for (const struct shm_tower *p = v->control->index[level]; p != NULL && count < PIECES_MAX;) {
        const struct shm_tower *tower = verify_at(v, p, sizeof(*p) + 8 * level + 8, VERIFY_GRANULE);
        if (tower == NULL || tower->height <= level || tower->height > SHM_LEVELS ||
            tower->seq <= seq)
            break;
        const struct shm_node *node = verify_at(v, tower->node, sizeof(*node), VERIFY_GRANULE);
        if (node == NULL || node->seq != tower->seq)
            break;
        if (&tower->node->order != pieces[0].start)
            pieces[count++] = (struct piece){.start = &tower->node->order, .tower = p};
        seq = tower->seq;
        p = tower->next[level];
    }
    return count;
}

/* Checks that each piece ends where the next one starts. */
static void pieces_join(struct verify *v, const struct piece *pieces, uint64_t count)
{
    struct seam last = {
        .link = order_address(), .tower = v->control->index[0], .tower_tail = index_word(0)};
    for (uint64_t i = 0; i < count; i++) {
        const struct piece *piece = &pieces[i];
        if (piece->broken)
            return;
        if (piece->empty)
            continue;
        check_link(v, piece->first, &last);
        if (piece->oldest != 0 && piece->oldest < last.newest)
            verify_fault(v, "user %llu: it, or one soon behind it, is older than the one before it",
                         (unsigned long long)piece->first->seq);
        if (piece->tower != last.tower)
            verify_fault(v, "the index by sequence is broken on level 0 after user %llu",
                         (unsigned long long)last.seq);
        uint64_t tail = piece->end.tower_tail != 0 ? piece->end.tower_tail : last.tower_tail;
        uint64_t newest = piece->end.newest != 0 ? piece->end.newest : last.newest;
        last = piece->end;
        last.tower_tail = tail;
        last.newest = newest;
    }
    if ((const void *)v->control->order.prev != last.link)
        verify_fault(v, "the order list's tail is wrong");
    if (last.tower != NULL || verify_offset(v->control->index_tail[0]) != last.tower_tail)
        verify_fault(v, "the index by sequence ends wrongly on level 0");
}

void verify_users(struct verify *v)
{
    struct piece *list = calloc(PIECES_MAX, sizeof(*list));
    if (list == NULL) {
        verify_fault(v, "out of memory");
        return;
    }
    unsigned level = v->threads > 1 ? SHM_LEVELS : 1;
    uint64_t count;
    do {
        count = cut_pieces(v, --level, list);
    } while (count < PIECES_MIN && level > 0);
    struct verify_pieces pieces = {.count = count, .data = list};
    verify_spread(v, &pieces, walk_pieces);
    pieces_join(v, list, count);
    free(list);
}

/* ---- the levels above 0: their towers must be among those of level 0 ---- */

static void check_level(struct verify *v, unsigned level)
{
    uint64_t count = 0, seq = 0, tail = index_word(level);
    for (const struct shm_tower *p = v->control->index[level]; p != NULL; count++) {
        const struct shm_tower *tower = verify_at(v, p, sizeof(*p), VERIFY_GRANULE);
        if (tower == NULL || !verify_get(v->tower, verify_bit(v, p, VERIFY_GRANULE)) ||
            tower->height <= level || tower->seq <= seq) {
            verify_fault(v, "the index by sequence is broken on level %u after user %llu", level,
                         (unsigned long long)seq);
            return;
        }
        seq = tower->seq;
        tail = verify_offset(&p->next[level]);
        p = tower->next[level];
    }
    if (count != v->sum.towers[level] || verify_offset(v->control->index_tail[level]) != tail)
        verify_fault(v, "the index by sequence is incomplete on level %u", level);
}

void verify_levels(struct verify *v)
{
    for (unsigned level = 1; level < SHM_LEVELS; level++)
        check_level(v, level);
}
