/* SPDX-License-Identifier: MIT */
/*
 * Reclaim: the path of a body from its retirement to the free list.
 *
 *   retired --(1)--> unlinked from its chain --(3)--> free
 *      \--(2)--> in a pin's list --> (1) when the pin has ended
 *
 * (1) The body's token has passed (grace.h), and the commit in which it died is published, and the
 * grace period of that publication has passed as well (publication.h). Every reader that could have
 * loaded a version that shows the body has therefore gone offline or has pinned that version. Such
 * a pin can be read by now: a snapshot stores its pin inside the online section that loaded the
 * version, and the release store that ends the section pairs with the acquire load that saw the
 * slot offline. If no pin's version shows the body, no process will look for it again, and it
 * leaves the chain. With a deleted user's newest body its node and tower are unlinked, too. Older
 * bodies of that user leave first, because a pin that shows one of them shows the node. (2) If a
 * pin shows the body, the body moves from the queue to the list of the newest such pin, so that the
 * bodies behind it in the queue can proceed. Listings mostly end in the order in which they began,
 * so the body usually stays in that list until no pin needs it. (3) A process that walks a chain
 * may stand on the body even if its version does not show it. The body therefore gets a new token
 * in the transaction that unlinks it, and is freed when that token has passed.
 *
 * Each step is one transaction on one block and computes all values from memory as it is at that
 * moment, so neighbours are no special case. Nothing here waits: a body that is not ready stays
 * where it is until the next call. The readers are examined before the lock is taken (readers.h),
 * and the lock is held for a few steps at a time.
 *
 * If pins keep too much memory, the oldest pins are revoked, as many as are needed. No younger pin
 * needs the bodies in their lists. `revoked` is a token, stored through the log. A cursor checks it
 * inside its online section. A section that did not see it was online before the token, and has
 * ended when the token has passed; a section that begins later sees it (gp is stored after it, and
 * loaded before it). After the grace period the pin therefore keeps nothing, whatever its process
 * does. The pin may be reused for another version at the moment when it is revoked. Code that reads
 * `revoked` therefore checks whether the pin's list was made for the pin's current version
 * (held_for), and ignores `revoked` if not.
 */
#include "shm/readers/reclaim.h"

#include <assert.h>
#include <string.h>

#include <urcu/rcuhlist.h>
#include <urcu/rculist.h>

#include "base/container_of.h"
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
    STEPS_A_HOLD =
        32, /* steps in one hold of the writer lock; a step costs about ten cache misses */
    ASKS_A_HOLD = 256, /* pins considered for revocation in one hold; a cache miss each */
    ENOUGH = 64,       /* bodies that a writer retires before it reclaims */
    STEPS = 160,       /* steps then: two for each of those bodies, and some for older ones */
    PINS_SHARE = 16,   /* pins that a writer examines for each body that it retires, at most */
};

struct reclaim {
    struct shm_actor *actor;
    struct shm_readers *readers;
    bool stuck; /* the queue's head waits for an older body in a list that the look did not see */
};

/* ---- steps ---- */

/* Removes the first body of the queue (source NULL), or of a pin's list. */
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

/* Sets held_for, the version of a pin's list, when the list gets its first body or the pin is
 * revoked. A `revoked` that arrived too late for an earlier version is cleared first; otherwise it
 * would revoke this version. */
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
    /* a move from pin to pin leaves the sums unchanged: this overrides what was logged by removal
     */
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

/* The older node of the same user, if it is still linked: rename.h. */
static const struct shm_node *former_node(const struct shm_node *node)
{
    const struct cds_list_head *next = node->order.next;
    const struct shm_node *former = container_of(next, struct shm_node, order);
    return next != &shm_control()->order && former->seq == node->seq ? former : NULL;
}

/* Takes the user's tower from the node. A former node gets it; if there is none, the tower is
 * removed from the index by sequence. Does nothing if a newer node of the user has it.
 * @return the removed tower, or NULL */
static struct shm_tower *log_tower_del(struct shm_txn *txn, const struct shm_node *node)
{
    const struct shm_node *former = former_node(node);
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
        assert(tower != NULL); /* the node's hash says that its user has a tower of this height */
        if (tower->node != node)
            return NULL;
        if (former != NULL) {
            shm_txn_pointer(txn, &tower->node, former);
            return NULL;
        }
        shm_txn_pointer(txn, &next[level], tower->next[level]);
        if (shm_control()->index_tail[level] == &tower->next[level])
            shm_txn_pointer(txn, &shm_control()->index_tail[level], &next[level]);
    }
    return tower;
}

/* Whether the node is linked in an index that exists. Links of a dropped index are ignored. */
static bool in_index(const struct shm_node *node, unsigned key)
{
    return shm_control()->unique[key].buckets != NULL && shm_unique_linked(node, key);
}

/* Logs the words that the list calls of unlink_lists() will write. */
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
    shm_txn_pointer(txn, &node->order.prev, tower); /* readers follow `next` only */
    uint64_t state = SHM_NODE_UNLINKED | (node->state & SHM_NODE_RENAMED);
    shm_txn_word(txn, &node->check, state << 32 | node->check);
    shm_queue_push(txn, SHM_UNLINKED, body, SHM_BODY_LAST, shm_txn_token(txn));
}

/* Unlinks the node after the commit point. */
static void unlink_lists(struct shm_node *node)
{
    cds_hlist_del_rcu(&node->by_id);
    for (unsigned key = 0; key < SHM_KEYS; key++)
        if (in_index(node, key))
            cds_hlist_del_rcu(&node->unique[key]);
    SHM_POINT("half unlinked");
    cds_list_del_rcu(&node->order);
}

/* Moves the body to the end of the queue, with its state and token. */
static void requeue(struct shm_txn *txn, struct shm_body *body)
{
    shm_queue_push(txn, SHM_RETIRED, body, (enum shm_body_state)body->state, body->token);
}

/* Moves one block from the queue (source NULL), or from a pin's list, to its next place. */
static void settle_body(struct reclaim *r, struct shm_pin *source)
{
    struct shm_txn *txn = &r->actor->txn;
    struct shm_body *body = source != NULL ? source->held : shm_control()->retired.head;
    struct shm_node *node = body->state == SHM_BODY_DELETED ? shm_node_of(body) : NULL;
    struct shm_pin_seen seen =
        shm_readers_pin(r->readers, node != NULL ? node->born : body->born, body->died);
    if (shm_readers_outdated(r->readers))
        return;
#ifdef SHM_MUTANT_FREE_NAME
    if (node != NULL && container_of(node->order.prev, struct shm_node, order)->seq == node->seq)
        seen.pin = NULL; /* a newer node of its user stands before it */
#endif
    bool mixed = seen.pin != NULL && shm_readers_holds_for_another(seen.pin, seen.version);
    if (mixed && source == NULL) { /* the pin's list must be emptied first */
        shm_readers_add_source(r->readers, seen.pin);
        r->stuck = shm_readers_source(r->readers) ==
                   NULL; /* out of memory, or the list is newer than the look */
        return;
    }
    if (seen.pin != NULL && seen.pin == source && !mixed) { /* the version has been pinned again */
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
    else { /* an older body of the user is still in an ended pin's list */
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

/* In a test build, overwrites a freed block, except the links of the free lists, so that a reader
 * that still uses the block fails a check. */
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

/* Frees the oldest unlinked block, whose token has passed. */
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

/* Revokes the oldest pins while pins hold too much memory. @return whether any was revoked */
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
    return retired != NULL && !r->stuck && shm_readers_settled(r->readers, retired);
}

/* Makes one step. The lists of ended pins come before the queue, because the queue's head may wait
 * for a body in such a list. @return whether there was something to do */
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

/* Makes up to `max` steps under the lock. @return the number of steps */
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

/* Reclaims by the result of the last look. Releases the lock after every few steps, because other
 * writers wait only about 50 us for it. */
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

/* With few pins each call begins with a new look. With many pins the last look is used for a while:
 * it stays correct, but shows less and less of the memory that may be freed. */
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
