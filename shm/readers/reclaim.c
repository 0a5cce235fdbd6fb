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
 * (2) A pin shows it: it leaves the queue for that pin's list, the newest
 *     such pin's, so that what is behind it in the queue goes on. As listings mostly end in the
 *     order in which they began, it mostly stays there until nobody needs it.
 * (3) Who walks a chain may stand on the body although its version does not show
 *     it. So it gets a new token, stamped in the transaction that unlinks
 *     it, and is freed when that has passed.
 *
 * Each step is one transaction on one block, whose values are all computed
 * from memory as it is, so neighbours are no special case. Nothing here waits:
 * what is not ready stays where it is until somebody comes by. Who the readers are is
 * looked at before the lock is taken (readers.h), and the lock is held for a few steps at a time.
 *
 * Where pins keep too much, the oldest are revoked, so many as make room enough: what they hold no
 * younger one needs. `revoked` is a token, stored by the log.
 * A cursor looks at it inside its online section. One that did not see it was
 * online before the token, and when that has passed it is not any more; one that
 * comes online later sees it (gp is stored after it, loaded before it). So after the
 * grace period the pin counts for nothing, wherever its process is. The pin may be used for another
 * version in the moment in which it is revoked: so who meets `revoked` looks whether the
 * pin's list was made for its version (held_for), and lets it stand if not.
 */
#include "shm/readers/reclaim.h"

#include <assert.h>
#include <string.h>

#include <urcu/rcuhlist.h>
#include <urcu/rculist.h>

#include "shm/core/actor_handle.h"
#include "shm/core/alloc.h"
#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/core/test_points.h"
#include "shm/core/txn.h"
#include "shm/core/writer_lock.h"
#include "shm/error.h"
#include "shm/readers/readers.h"
#include "shm/table/retire.h"
#include "shm/table/tower.h"
#include "shm/table/unique.h"

enum {
    STEPS_A_HOLD = 32, /* of the writer lock: a step meets some ten cache misses */
    ASKS_A_HOLD = 256, /* pins that are asked whether to revoke them: a cache miss each */
    ENOUGH = 64,       /* bodies that a writer retires before it frees some */
    STEPS = 160,       /* then: two for each of those, and some of what is left from earlier */
    PINS_SHARE = 16,   /* a writer looks at so many pins for each body that it retires, no more */
};

struct reclaim {
    struct shm_actor *actor;
    struct shm_readers *readers;
    bool stuck; /* the queue's head waits for an older version in a list not seen here */
};

/* ---- steps ---- */

/* The first of the queue, or of a pin's list, leaves it. */
static void take_retired(struct shm_txn *txn, const struct shm_body *body, struct shm_pin *source)
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

/* A pin's first body, or its revocation, says for which version the list is. A `revoked` that came
 * too late for an earlier version goes before that, so that nobody takes it for this one's. */
static void log_held_for(struct shm_txn *txn, const struct shm_pin_seen *seen)
{
    if (seen->pin->held != NULL || seen->pin->held_for == seen->version)
        return;
    shm_txn_word(txn, &seen->pin->revoked, 0);
    shm_txn_word(txn, &seen->pin->held_for, seen->version);
}

static void hold_for_pin(struct shm_txn *txn, struct shm_body *body,
                         const struct shm_pin_seen *seen, const struct shm_pin *source)
{
    struct shm_control *control = shm_control();
    struct shm_pin *pin = seen->pin;
    uint64_t bytes = shm_retired_bytes(body, (enum shm_body_state)body->state);
    log_held_for(txn, seen);
    shm_txn_pointer(txn, &body->link, pin->held);
    shm_txn_pointer(txn, &pin->held, body);
    shm_txn_word(txn, &pin->held_count, pin->held_count + 1);
    shm_txn_word(txn, &pin->held_bytes, pin->held_bytes + bytes);
    /* from pin to pin the sums stay, whatever take_retired() has logged */
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
        assert(tower != NULL); /* a node of this height has one */
        shm_txn_pointer(txn, &next[level], tower->next[level]);
        if (shm_control()->index_tail[level] == &tower->next[level])
            shm_txn_pointer(txn, &shm_control()->index_tail[level], &next[level]);
    }
    return tower;
}

/* Links that an index left which is no more are nothing. */
static bool in_index(const struct shm_node *node, unsigned key)
{
    return shm_control()->unique[key].buckets != NULL && shm_unique_linked(node, key);
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

/* To the end of the queue, as it is. */
static void requeue(struct shm_txn *txn, struct shm_body *body)
{
    shm_queue_push(txn, SHM_RETIRED, body, (enum shm_body_state)body->state, body->token);
}

/* One block from the queue or a pin's list to where it belongs now. */
static void settle_body(struct reclaim *r, struct shm_pin *source)
{
    struct shm_txn *txn = &r->actor->txn;
    struct shm_body *body = source != NULL ? source->held : shm_control()->retired.head;
    struct shm_node *node = body->state == SHM_BODY_DELETED ? shm_node_of(body) : NULL;
    struct shm_pin_seen seen =
        shm_readers_pin(r->readers, node != NULL ? node->born : body->born, body->died);
    if (shm_readers_outdated(r->readers))
        return;
    bool mixed = seen.pin != NULL && shm_readers_holds_for_another(seen.pin, seen.version);
    if (mixed && source == NULL) { /* its list goes first */
        shm_readers_add_source(r->readers, seen.pin);
        r->stuck = shm_readers_source(r->readers) == NULL; /* out of memory, or of a later time */
        return;
    }
    if (seen.pin != NULL && seen.pin == source && !mixed) { /* the version is pinned again */
        r->readers->num_sources--;
        return;
    }
    bool unlinks = seen.pin == NULL && node != NULL && body->prev == NULL;
    uint64_t bytes = shm_retired_bytes(body, (enum shm_body_state)body->state);
    shm_txn_begin(txn);
    if (unlinks)
        log_lists(txn, node);
    take_retired(txn, body, source);
    if (mixed)
        requeue(txn, body);
    else if (seen.pin != NULL)
        hold_for_pin(txn, body, &seen, source);
    else if (node == NULL)
        log_body(txn, body);
    else if (unlinks)
        log_node(txn, node, body);
    else { /* an older version is on its way, from an ended pin's list */
        requeue(txn, body);
        r->stuck = source == NULL;
    }
    shm_txn_seal(txn, 0);
    if (unlinks)
        unlink_lists(node);
    shm_txn_apply(txn);
    if (source != NULL)
        shm_readers_note_taken(r->readers, bytes);
    if (seen.pin != NULL && !mixed)
        shm_readers_note_held(r->readers, &seen, bytes);
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

/* The oldest pins, where pins hold too much. @return whether there were any */
static bool revoke_oldest(struct reclaim *r)
{
    struct shm_txn *txn = &r->actor->txn;
    unsigned asks = ASKS_A_HOLD;
    shm_txn_begin(txn);
    uint64_t token = shm_txn_token(txn);
    for (unsigned count = 0; count < STEPS_A_HOLD; count++) {
        struct shm_pin_seen seen = shm_readers_to_revoke(r->readers, &asks);
        if (seen.pin == NULL)
            break;
        log_held_for(txn, &seen);
        shm_txn_word(txn, &seen.pin->revoked, token);
    }
    if (txn->count == 0)
        return false;
    shm_txn_seal(txn, 0);
    shm_txn_apply(txn);
    return true;
}

static bool may_free(const struct reclaim *r, const struct shm_body *unlinked)
{
#ifdef SHM_MUTANT_NO_SECOND_GRACE
    (void)r;
    return unlinked != NULL;
#else
    return unlinked != NULL && shm_readers_passed(r->readers, unlinked->token);
#endif
}

static bool may_settle(const struct reclaim *r, const struct shm_body *retired)
{
    return retired != NULL && !r->stuck && shm_readers_passed(r->readers, retired->token);
}

/* Lists of ended pins come before the queue, for its head may wait for what is in
 * one. @return whether there was something to do */
static bool reclaim_step(struct reclaim *r)
{
    const struct shm_control *control = shm_control();
    struct shm_pin *source;
    if (may_free(r, control->unlinked.head))
        free_one(r);
    else if ((source = shm_readers_source(r->readers)) != NULL)
        settle_body(r, source);
    else if (may_settle(r, control->retired.head))
        settle_body(r, NULL);
    else
        return false;
    return true;
}

/* Under the lock. @return steps done */
static unsigned hold_steps(struct reclaim *r, unsigned max)
{
    const struct shm_control *control = shm_control();
    unsigned done = control->held_bytes > control->held_max && revoke_oldest(r) ? 1 : 0;
    while (done < max && !shm_readers_outdated(r->readers) && reclaim_step(r))
        done++;
    return done;
}

static bool has_work(void)
{
    const struct shm_control *control = shm_control();
    return __atomic_load_n(&control->retired.count, __ATOMIC_RELAXED) != 0 ||
           __atomic_load_n(&control->unlinked.count, __ATOMIC_RELAXED) != 0 ||
           __atomic_load_n(&control->held_count, __ATOMIC_RELAXED) != 0;
}

/* By what was seen at the last look. The lock is given away now and then, for others wait some
 * 50 us for it. */
static int reclaim_seen(struct shm_actor *actor, unsigned max, unsigned *steps)
{
    struct reclaim r = {.actor = actor, .readers = actor->readers};
    *steps = 0;
    while (*steps < max) {
        unsigned want = max - *steps < STEPS_A_HOLD ? max - *steps : STEPS_A_HOLD;
        int rc = shm_writer_lock(actor->store);
        if (rc != SHM_OK)
            return rc;
        unsigned done = hold_steps(&r, want);
        shm_writer_unlock();
        *steps += done;
        if (done < want)
            break;
    }
    return SHM_OK;
}

int shm_reclaim(struct shm_actor *actor, unsigned max, unsigned *steps)
{
    *steps = 0;
    if (!has_work())
        return SHM_OK;
    shm_readers_look(actor->readers);
    actor->unseen = 0;
    return reclaim_seen(actor, max, steps);
}

/* With few pins each time begins with a look. With many the last one serves for a while: it says
 * less and less of what may be freed, and nothing wrong. */
void shm_reclaim_some(struct shm_actor *actor, size_t retired)
{
    unsigned steps;
    struct shm_readers *readers = actor->readers;
    actor->retired += retired;
    if (actor->retired < ENOUGH)
        return;
    actor->unseen += actor->retired;
    actor->retired = 0;
    if (shm_readers_outdated(readers) || actor->unseen >= readers->num_pins / PINS_SHARE)
        (void)shm_reclaim(actor, STEPS, &steps);
    else
        (void)reclaim_seen(actor, STEPS, &steps);
}
