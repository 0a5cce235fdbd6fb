/* SPDX-License-Identifier: MIT */
/*
 * Retiring a body inside a transaction: shared by update.c, delete.c and reclaim.c. A retired body
 * waits in a queue; reclaim.c describes its further states.
 */
#ifndef ROSTERD_SHM_TABLE_RETIRE_H
#define ROSTERD_SHM_TABLE_RETIRE_H

#include "shm/core/alloc.h"
#include "shm/core/log.h"

static inline uint64_t shm_body_size(const struct shm_body *body)
{
    return sizeof(*body) + body->length;
}

static inline bool shm_takes_node(enum shm_body_state state)
{
    return state == SHM_BODY_DELETED || state == SHM_BODY_LAST;
}

/** The bytes that a retired body in this state adds to the count of its queue or pin: its block,
 * and its node if the body stands for the node too. */
static inline uint64_t shm_retired_bytes(const struct shm_body *body, enum shm_body_state state)
{
    return shm_class_size(shm_class_of(shm_body_size(body))) +
           (shm_takes_node(state) ? sizeof(struct shm_node) : 0);
}

/** The node of a body in the state LIVE, DELETED or LAST, to which the node's `body` points. */
static inline struct shm_node *shm_node_of(const struct shm_body *body)
{
    return (struct shm_node *)((uintptr_t)body->from - offsetof(struct shm_node, body));
}

/** Logs the state, which shares a word with fields that never change. */
static inline void shm_txn_state(struct shm_txn *txn, const struct shm_body *body,
                                 enum shm_body_state state)
{
    struct {
        uint32_t check;
        uint16_t length, state;
    } word = {body->check, body->length, (uint16_t)state};
    uint64_t value;
    _Static_assert(sizeof(word) == sizeof(value) && offsetof(struct shm_body, check) % 8 == 0,
                   "check, length and state are one word");
    memcpy(&value, &word, sizeof(value));
    shm_txn_word(txn, &body->check, value);
}

static inline struct shm_queue *shm_txn_queue(struct shm_txn *txn, enum shm_queue_name name)
{
    const struct shm_control *control = shm_control();
    if ((txn->queues >> name & 1) == 0) {
        txn->queue[name] = name == SHM_RETIRED ? control->retired : control->unlinked;
        txn->queues |= 1u << name;
    }
    return &txn->queue[name];
}

/** The grace-period token of the blocks that this transaction makes unreachable for readers. */
static inline uint64_t shm_txn_token(struct shm_txn *txn)
{
    txn->gp = shm_control()->gp + 1;
    return txn->gp;
}

/** Appends a body with its new state. The body must be in no other queue. */
static inline void shm_queue_push(struct shm_txn *txn, enum shm_queue_name name,
                                  struct shm_body *body, enum shm_body_state state, uint64_t token)
{
    struct shm_queue *queue = shm_txn_queue(txn, name);
    shm_txn_state(txn, body, state);
    shm_txn_word(txn, &body->token, token);
    shm_txn_pointer(txn, &body->link, NULL);
    if (queue->tail != NULL)
        shm_txn_pointer(txn, &queue->tail->link, body);
    else
        queue->head = body;
    queue->tail = body;
    queue->count++;
    queue->bytes += shm_retired_bytes(body, state);
}

/** Removes the oldest body. */
static inline void shm_queue_pop(struct shm_txn *txn, enum shm_queue_name name)
{
    struct shm_queue *queue = shm_txn_queue(txn, name);
    const struct shm_body *body = queue->head;
    queue->head = body->link;
    if (queue->head == NULL)
        queue->tail = NULL;
    queue->count--;
    queue->bytes -= shm_retired_bytes(body, (enum shm_body_state)body->state);
}

/* ---- finding the users of a write ---- */

/** The live user with this id, or NULL; called under the writer lock. */
struct shm_node *shm_live_node(const struct shm_actor *actor, uint64_t hash,
                               const uint8_t id[SHM_ID_SIZE]);
/** Hashes the ids and prefetches their buckets; called before the lock is taken.
 * @param stride bytes from one id to the next */
void shm_prepare_ids(struct shm_actor *actor, const uint8_t *ids, size_t stride, size_t count);
/** Brings the first users of the batch's chains into the cache; called just before the lock is
 * taken. */
void shm_touch_targets(const struct shm_actor *actor, size_t count);
/** Finds all users of the batch; called under the writer lock.
 * @return SHM_OK, SHM_ENOENT, SHM_EINVAL (a user occurs twice) */
int shm_find_targets(struct shm_actor *actor, const uint8_t *ids, size_t stride, size_t count,
                     struct shm_conflict *conflict);

#endif
