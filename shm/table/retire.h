/* SPDX-License-Identifier: MIT */
/*
 * Retiring a body inside a transaction: shared by those who write and by reclaim.c. A retired body
 * waits in a queue; reclaim.c describes its further states.
 */
#ifndef ROSTERD_SHM_TABLE_RETIRE_H
#define ROSTERD_SHM_TABLE_RETIRE_H

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "base/container_of.h"
#include "shm/core/alloc.h"
#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/core/txn.h"

static inline uint64_t shm_body_size(const struct shm_body *body)
{
    return sizeof(*body) + body->length + body->hidden;
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
    return container_of(body->from, struct shm_node, body);
}

/** Logs the state, which shares a word with fields that never change. */
static inline void shm_txn_state(struct shm_txn *txn, const struct shm_body *body,
                                 enum shm_body_state state)
{
    uint64_t others = body->word & ((UINT64_C(1) << SHM_BODY_STATE_SHIFT) - 1);
    shm_txn_word(txn, &body->word, (uint64_t)state << SHM_BODY_STATE_SHIFT | others);
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

/** Ends a node with its newest body, which stands for the node from then on. @param version the
 * commit that ends them */
static inline void shm_retire_node(struct shm_txn *txn, struct shm_node *node, uint64_t version,
                                   uint64_t token)
{
    struct shm_body *body = node->body;
    shm_txn_word(txn, &node->died, version);
    shm_txn_word(txn, &body->died, version);
    shm_queue_push(txn, SHM_RETIRED, body, SHM_BODY_DELETED, token);
}

/** Removes the oldest body. */
static inline void shm_queue_pop(struct shm_txn *txn, enum shm_queue_name name)
{
    struct shm_queue *queue = shm_txn_queue(txn, name);
    const struct shm_body *body = queue->head;
#ifdef SHM_DEBUG_CHECKS
    assert(queue->count != 0 &&
           queue->bytes >= shm_retired_bytes(body, (enum shm_body_state)body->state));
#endif
    queue->head = body->link;
    if (queue->head == NULL)
        queue->tail = NULL;
    queue->count--;
    queue->bytes -= shm_retired_bytes(body, (enum shm_body_state)body->state);
}

#endif
