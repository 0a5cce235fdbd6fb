/* SPDX-License-Identifier: MIT */
/*
 * Reclaim: the way of a body from its retirement to the free list.
 *
 *   retired --(1)--> out of the chain: unlinked --(3)--> free
 *      \--(2)--> held by a pin --> (1) when the pin has ended
 *
 * (1) Its token has passed (grace.h), so every reader who could have loaded a
 *     version that shows the body is done, or has pinned that version, and
 *     that pin can be read by now: a snapshot stores its pin inside the online
 *     section that loaded the version, and the release of that section's end
 *     pairs with the acquire that saw the slot offline. No pin's version
 *     shows it: so nobody will look for it again, and it leaves the chain.
 *     A deleted user's newest body takes its node and tower along; older
 *     bodies of that user come first, for where a pin shows one of
 *     those it shows the node.
 * (2) A pin shows it: it leaves the queue for that pin's list, the oldest
 *     such pin's, so that what is behind it in the queue goes on.
 * (3) Who walks a chain may stand on the body although its version does not show
 *     it. So it gets a new token, stamped in the transaction that unlinks
 *     it, and is freed when that has passed.
 *
 * Each step is one transaction on one block, whose values are all computed
 * from memory as it is, so neighbours are no special case. Nothing here waits:
 * what is not ready stays where it is until somebody comes by.
 *
 * A pin that keeps too much is revoked: `revoked` is a token, stored by the log.
 * A cursor looks at it inside its online section. One that did not see it was
 * online before the token, and when that has passed it is not any more; one that
 * comes online later sees it (gp is stored after it, loaded before it). So after the
 * grace period the pin counts for nothing, wherever its process is.
 */
#include "config.h"

#include <urcu/rcuhlist.h>
#include <urcu/rculist.h>

#include "shm/grace.h"
#include "shm/retire.h"

enum {
    ENOUGH = 64,     /* bodies that a writer retires between two looks at all slots */
    STEPS = 160,     /* a look: two for each of those, and some of what is left from earlier */
    PINS_SEEN = 256, /* more than that are looked up one by one */
    SOURCES = 8,
};

struct reclaim {
    struct shm_actor *actor;
    bool looked, seen, all; /* looked at the slots; seen the pins; seen them all */
    unsigned num_pins, num_sources;
    struct pin_seen {
        uint64_t version;
        struct shm_pin *pin;
        struct shm_slot *slot;
    } pins[PINS_SEEN];
    struct shm_pin *source[SOURCES]; /* ended, and still hold blocks */
    struct shm_pin *oldest;          /* of those who hold something */
    bool revoking;                   /* one has been revoked and still holds something */
    bool stuck; /* the queue's head waits for an older version in a list not seen here */
};

/* ---- grace periods ---- */

/* Which tokens have passed: up to the least ctr of all who are online. */
static void look_at_slots(struct reclaim *r)
{
    r->looked = true;
    cmm_smp_mb(); /* pairs with a reader's xchg: see grace.h, 3 */
    uint64_t passed = shm_control()->gp;
    unsigned ready = shm_slots_ready();
    for (unsigned i = 0; i < ready; i++) {
        uint64_t ctr = __atomic_load_n(&shm_slot(i)->ctr, __ATOMIC_ACQUIRE);
        if (ctr != 0 && ctr < passed && !shm_slot_dead(shm_slot(i)))
            passed = ctr;
    }
    __atomic_store_n(&shm_control()->grace, passed, __ATOMIC_RELAXED);
}

static bool has_passed(struct reclaim *r, uint64_t token)
{
#ifdef SHM_MUTANT_NO_GRACE
    (void)r;
    (void)token;
    return true;
#else
    if (token > shm_control()->grace && !r->looked)
        look_at_slots(r);
    return token <= shm_control()->grace;
#endif
}

/* ---- pins ---- */

static bool has_ended(struct reclaim *r, const struct shm_pin *pin)
{
    uint64_t revoked = __atomic_load_n(&pin->revoked, __ATOMIC_RELAXED);
    return __atomic_load_n(&pin->count, __ATOMIC_ACQUIRE) == 0 ||
           (revoked != 0 && has_passed(r, revoked));
}

static void see_pin(struct reclaim *r, struct shm_slot *slot, struct shm_pin *pin)
{
    if (has_ended(r, pin)) {
        if (pin->held != NULL && r->num_sources < SOURCES)
            r->source[r->num_sources++] = pin;
        return;
    }
    uint64_t version = __atomic_load_n(&pin->version, __ATOMIC_RELAXED);
    if (pin->held != NULL && pin->revoked != 0)
        r->revoking = true;
    else if (pin->held != NULL && (r->oldest == NULL || version < r->oldest->version))
        r->oldest = pin;
    if (r->num_pins < PINS_SEEN)
        r->pins[r->num_pins++] = (struct pin_seen){version, pin, slot};
    else
        r->all = false;
}

static unsigned pins_high(const struct shm_slot *slot)
{
    uint64_t high = __atomic_load_n(&slot->pins_high, __ATOMIC_ACQUIRE);
    return high < SHM_PINS ? (unsigned)high : SHM_PINS;
}

static void see_pins(struct reclaim *r)
{
    r->seen = r->all = true;
    unsigned ready = shm_slots_ready();
    for (unsigned i = 0; i < ready; i++) {
        struct shm_slot *slot = shm_slot(i);
        unsigned high = pins_high(slot);
        for (unsigned p = 0; p < high; p++)
            see_pin(r, slot, &slot->pins[p]);
    }
}

/* Two pins, and the versions between which a block is needed: the older pin, if it needs it. */
static void prefer(struct pin_seen *best, const struct pin_seen *other, uint64_t born,
                   uint64_t died)
{
    if (other->version >= born && other->version < died &&
        (best->pin == NULL || other->version < best->version))
        *best = *other;
}

static struct pin_seen oldest_between(struct reclaim *r, uint64_t born, uint64_t died)
{
    struct pin_seen best = {0};
    for (unsigned i = 0; i < r->num_pins; i++)
        prefer(&best, &r->pins[i], born, died);
    unsigned ready = r->all ? 0 : shm_slots_ready();
    for (unsigned i = 0; i < ready; i++) {
        struct shm_slot *slot = shm_slot(i);
        unsigned high = pins_high(slot);
        for (unsigned p = 0; p < high; p++) {
            struct pin_seen one = {slot->pins[p].version, &slot->pins[p], slot};
            if (!has_ended(r, &slot->pins[p]))
                prefer(&best, &one, born, died);
        }
    }
    return best;
}

/* The oldest pin that needs what lived in [born, died), or NULL. */
static struct shm_pin *find_pin(struct reclaim *r, uint64_t born, uint64_t died)
{
#ifdef SHM_MUTANT_NO_PINS
    (void)r;
    (void)born;
    (void)died;
    return NULL;
#else
    for (;;) {
        if (!r->seen)
            see_pins(r);
        struct pin_seen best = oldest_between(r, born, died);
        /* a dead process's pin keeps nothing: its slot is cleared, and we look again */
        if (best.pin == NULL || !shm_slot_dead(best.slot))
            return best.pin;
        if (!has_ended(r, best.pin)) /* taken over by a live process just now */
            return best.pin;
        r->seen = false;
        r->num_pins = r->num_sources = 0;
        r->oldest = NULL;
    }
#endif
}

/* ---- steps ---- */

/* The first of the queue, or of a pin's list, leaves it. */
static void take(struct shm_txn *txn, const struct shm_body *body, struct shm_pin *source)
{
    if (source == NULL) {
        shm_queue_pop(txn, SHM_RETIRED);
        return;
    }
    struct shm_control *control = shm_control();
    uint64_t bytes = shm_retired_bytes(body, (enum shm_body_state)body->state);
    shm_txn_pointer(txn, &source->held, body->link);
    shm_txn_word(txn, &source->held_count, source->held_count - 1);
    shm_txn_word(txn, &source->held_bytes, source->held_bytes - bytes);
    shm_txn_word(txn, &control->held_count, control->held_count - 1);
    shm_txn_word(txn, &control->held_bytes, control->held_bytes - bytes);
}

static void hold(struct shm_txn *txn, struct shm_body *body, struct shm_pin *pin,
                 const struct shm_pin *source)
{
    struct shm_control *control = shm_control();
    uint64_t bytes = shm_retired_bytes(body, (enum shm_body_state)body->state);
    shm_txn_pointer(txn, &body->link, pin->held);
    shm_txn_pointer(txn, &pin->held, body);
    shm_txn_word(txn, &pin->held_count, pin->held_count + 1);
    shm_txn_word(txn, &pin->held_bytes, pin->held_bytes + bytes);
    /* from pin to pin the sums stay, whatever take() has logged */
    shm_txn_word(txn, &control->held_count, control->held_count + (source == NULL ? 1 : 0));
    shm_txn_word(txn, &control->held_bytes, control->held_bytes + (source == NULL ? bytes : 0));
}

static void log_body(struct shm_txn *txn, struct shm_body *body)
{
    shm_txn_pointer(txn, body->from, body->prev);
    if (body->prev != NULL)
        shm_txn_pointer(txn, &body->prev->from, body->from);
    shm_queue_push(txn, SHM_UNLINKED, body, SHM_BODY_UNLINKED, shm_txn_token(txn));
}

static void log_hlist_del(struct shm_txn *txn, const struct cds_hlist_node *at)
{
    shm_txn_pointer(txn, &at->prev->next, at->next);
    if (at->next != NULL)
        shm_txn_pointer(txn, &at->next->prev, at->prev);
}

/* Takes the node's tower out of the index by sequence. @return it, or NULL */
static struct shm_tower *log_tower_del(struct shm_txn *txn, const struct shm_node *node)
{
    unsigned height = shm_tower_height(node->hash);
    struct shm_tower **next = shm_control()->index;
    struct shm_tower *tower = NULL;
    if (height == 0)
        return NULL;
    for (unsigned level = SHM_LEVELS; level-- > 0;) {
        while (next[level] != NULL && next[level]->seq < node->seq)
            next = next[level]->next;
        if (level >= height)
            continue;
        tower = next[level];
        shm_txn_pointer(txn, &next[level], tower->next[level]);
        if (shm_control()->index_tail[level] == &tower->next[level])
            shm_txn_pointer(txn, &shm_control()->index_tail[level], &next[level]);
    }
    return tower;
}

static bool in_index(const struct shm_node *node, unsigned key)
{
    return shm_control()->unique[key].buckets != NULL && node->unique[key].prev != NULL;
}

/* The words that the list calls of unlink_lists() will write. */
static void log_lists(struct shm_txn *txn, const struct shm_node *node)
{
    log_hlist_del(txn, &node->by_id);
    for (unsigned key = 0; key < SHM_KEYS; key++)
        if (in_index(node, key))
            log_hlist_del(txn, &node->unique[key]);
    shm_txn_pointer(txn, &node->order.prev->next, node->order.next);
    shm_txn_pointer(txn, &node->order.next->prev, node->order.prev);
    shm_txn_links_end(txn);
}

static void log_node(struct shm_txn *txn, struct shm_node *node, struct shm_body *body)
{
    struct shm_tower *tower = log_tower_del(txn, node);
    shm_txn_pointer(txn, &node->order.prev, tower); /* readers go by next alone */
    shm_txn_word(txn, &node->check, (uint64_t)SHM_NODE_UNLINKED << 32 | node->check);
    shm_queue_push(txn, SHM_UNLINKED, body, SHM_BODY_LAST, shm_txn_token(txn));
}

/* After the commit point. */
static void unlink_lists(struct shm_node *node)
{
    cds_hlist_del_rcu(&node->by_id);
    for (unsigned key = 0; key < SHM_KEYS; key++)
        if (in_index(node, key))
            cds_hlist_del_rcu(&node->unique[key]);
    SHM_POINT("half unlinked");
    cds_list_del_rcu(&node->order);
}

/* One block from the queue or a pin's list to where it belongs now. */
static void settle(struct reclaim *r, struct shm_pin *source)
{
    struct shm_txn *txn = &r->actor->txn;
    struct shm_body *body = source != NULL ? source->held : shm_control()->retired.head;
    struct shm_node *node = body->state == SHM_BODY_DELETED ? shm_node_of(body) : NULL;
    struct shm_pin *pin = find_pin(r, node != NULL ? node->born : body->born, body->died);
    bool unlinks = pin == NULL && node != NULL && body->prev == NULL;
    shm_txn_begin(txn);
    if (unlinks)
        log_lists(txn, node);
    take(txn, body, source);
    if (pin != NULL)
        hold(txn, body, pin, source);
    else if (node == NULL)
        log_body(txn, body);
    else if (unlinks)
        log_node(txn, node, body);
    else { /* an older version is on its way, from an ended pin's list */
        shm_queue_push(txn, SHM_RETIRED, body, SHM_BODY_DELETED, body->token);
        r->stuck = source == NULL;
    }
    shm_txn_seal(txn, 0);
    if (unlinks)
        unlink_lists(node);
    shm_txn_apply(txn);
}

/* A test build's: whoever still reads a freed block notices. The links of the
 * free lists stay. */
static void poison(struct shm_node *node, struct shm_tower *tower, struct shm_body *body)
{
#ifdef SHM_POISON
    enum { BYTE = 0xdd };
    if (node != NULL) {
        memset(node, BYTE, offsetof(struct shm_node, died));
        memset(node->unique, BYTE, sizeof(node->unique));
    }
    if (tower != NULL)
        memset(&tower->node, BYTE, sizeof(*tower) - sizeof(tower->link));
    memset(&body->prev, BYTE, shm_body_size(body) - sizeof(body->link));
#else
    (void)node;
    (void)tower;
    (void)body;
#endif
}

/* The oldest unlinked block, whose token has passed. */
static void free_one(struct reclaim *r)
{
    struct shm_txn *txn = &r->actor->txn;
    struct shm_body *body = shm_control()->unlinked.head;
    struct shm_node *node = body->state == SHM_BODY_LAST ? shm_node_of(body) : NULL;
    struct shm_tower *tower = node != NULL ? (void *)node->order.prev : NULL;
    shm_txn_begin(txn);
    shm_queue_pop(txn, SHM_UNLINKED);
    if (tower != NULL)
        shm_free_block(txn, tower, sizeof(*tower) + tower->height * sizeof(tower));
    if (node != NULL)
        shm_free_node(txn, node);
    shm_free_block(txn, body, shm_body_size(body));
    shm_txn_seal(txn, 0);
    shm_txn_apply(txn);
    poison(node, tower, body);
}

/* One at a time: the next when this one's blocks are gone, for they may have been enough. */
static void revoke_oldest(struct reclaim *r)
{
    struct shm_txn *txn = &r->actor->txn;
    if (r->revoking || r->oldest == NULL)
        return;
    shm_txn_begin(txn);
    shm_txn_word(txn, &r->oldest->revoked, shm_txn_token(txn));
    shm_txn_seal(txn, 0);
    shm_txn_apply(txn);
    r->revoking = true;
}

static struct shm_pin *next_source(struct reclaim *r)
{
    if (shm_control()->held_count != 0 && !r->seen)
        see_pins(r);
    while (r->num_sources != 0) {
        struct shm_pin *pin = r->source[r->num_sources - 1];
        if (pin->held != NULL)
            return pin;
        r->num_sources--;
    }
    return NULL;
}

/* Lists of ended pins come before the queue, for its head may wait for what is in
 * one. @return whether there was something to do */
static bool step(struct reclaim *r)
{
    const struct shm_control *control = shm_control();
    struct shm_pin *source;
    if (control->unlinked.head != NULL && has_passed(r, control->unlinked.head->token))
        free_one(r);
    else if ((source = next_source(r)) != NULL)
        settle(r, source);
    else if (control->retired.head != NULL && !r->stuck &&
             has_passed(r, control->retired.head->token))
        settle(r, NULL);
    else
        return false;
    return true;
}

unsigned shm_reclaim(struct shm_actor *actor, unsigned max)
{
    const struct shm_control *control = shm_control();
    struct reclaim r;
    unsigned done = 0;
    r.actor = actor;
    r.looked = r.seen = r.all = r.revoking = r.stuck = false;
    r.num_pins = r.num_sources = 0;
    r.oldest = NULL;
    while (done < max && step(&r))
        done++;
    if (control->held_bytes > control->held_max) {
        r.num_pins = r.num_sources = 0;
        r.oldest = NULL;
        see_pins(&r); /* what was held a moment ago counts */
        revoke_oldest(&r);
    }
    return done;
}

void shm_reclaim_some(struct shm_actor *actor, size_t retired)
{
    actor->retired += retired;
    if (actor->retired < ENOUGH)
        return;
    actor->retired = 0;
    shm_reclaim(actor, STEPS);
}
