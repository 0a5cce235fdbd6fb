/* SPDX-License-Identifier: MIT */
/*
 * Memory for a large batch, reserved before the batch's transaction. It takes most of a millisecond
 * to copy 256 bodies of 4,000 bytes, and longer if their pages are touched for the first time: too
 * long for the writer lock. The blocks are therefore taken from the allocator by a transaction of
 * their own, filled without the lock, and become the users' bodies in the batch's transaction.
 *
 * In between, the blocks are in the slot's `reserve`, linked by `link`, each with the length that
 * was requested, so that no byte is lost if the process dies. Only the slot's process writes into
 * them, and no process reads them. shm_maintain(), or the next writing process in that slot, gives
 * back the blocks of a dead process. A process reserves one batch at a time: at most SHM_BATCH_MAX
 * blocks.
 *
 * Each block is marked in the dirty map (dirty.h) twice, both times under the lock: when it is
 * reserved, and when the batch takes it. A copy made in between contains a reserved block, whose
 * bytes have no meaning; a copy made after the second mark has all bytes.
 */
#ifndef ROSTERD_SHM_TABLE_RESERVE_H
#define ROSTERD_SHM_TABLE_RESERVE_H

#include <stdbool.h>
#include <string.h>

#include <urcu/compiler.h>

#include "shm/core/actor_handle.h"
#include "shm/core/alloc.h"
#include "shm/core/dirty.h"
#include "shm/core/layout.h"
#include "shm/core/txn.h"
#include "shm/store.h"
#include "shm/table/retire.h"

/**
 * Prepares the memory of a batch of two users or more, before the lock is taken for the batch:
 * touches the memory that the batch will be given and, if the batch is large, reserves and fills a
 * block for each body.
 * @param more the number of users that the batch adds to the table; 0 for an update
 * @return SHM_OK; SHM_EFULL (the table has no room for `more` users); SHM_ESPACE (the arena must
 *   grow first); the codes of shm_writer_lock()
 */
int shm_reserve_bodies(struct shm_actor *actor, const struct shm_new_user *users, size_t count,
                       size_t more);
/** Ends a batch that returned rc, or an actor (rc is SHM_EINVAL): gives back the blocks that are
 * left, unless the lock is busy. After SHM_EBUSY the blocks are kept, because the caller will try
 * the batch again. */
void shm_reserve_end(struct shm_actor *actor, int rc);
/** Gives back the blocks of dead processes, including a former process in this actor's slot.
 * @return whether there were any */
bool shm_reserve_reap(struct shm_actor *actor);

/** Sets the word of a body that no reader can reach yet. */
static inline void shm_body_set(struct shm_body *body, const struct shm_new_user *user,
                                enum shm_body_state state, uint32_t check)
{
    body->word = (uint64_t)state << SHM_BODY_STATE_SHIFT |
                 (uint64_t)user->hidden_len << SHM_BODY_HIDDEN_SHIFT |
                 (uint64_t)user->body_len << SHM_BODY_LENGTH_SHIFT | check;
}

/** Copies both parts into the body. */
static inline void shm_body_fill(struct shm_body *body, const struct shm_new_user *user)
{
    memcpy(body->bytes, user->body, user->body_len);
    if (caa_unlikely(user->hidden_len != 0))
        memcpy(body->bytes + user->body_len, user->hidden, user->hidden_len);
}

/** A block for the next body of the batch: from the reserve, or newly allocated.
 * @return NULL: the arena must grow */
static inline struct shm_body *shm_reserve_take(struct shm_actor *actor, uint32_t len)
{
    struct shm_body *body = actor->next_reserved;
    if (caa_likely(body == NULL))
        return shm_alloc_block(&actor->txn, sizeof(*body) + len);
    actor->next_reserved = body->link;
    if (actor->txn.tracked)
        shm_dirty_mark(body, shm_body_size(body));
    return body;
}

/** Starts to take blocks from the reserve; called under the lock, before records are built. */
static inline void shm_reserve_begin(struct shm_actor *actor)
{
    actor->next_reserved = actor->reserved ? actor->slot->reserve : NULL;
}

/** Logs that the batch's transaction has taken all reserved blocks. */
static inline void shm_reserve_log(struct shm_actor *actor)
{
    if (caa_likely(!actor->reserved))
        return;
    shm_txn_pointer(&actor->txn, &actor->slot->reserve, NULL);
    shm_txn_word(&actor->txn, &actor->slot->reserve_count, 0);
}

#endif
