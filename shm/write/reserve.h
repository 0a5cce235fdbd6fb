/* SPDX-License-Identifier: MIT */
/*
 * Memory for a large batch, before the batch. 256 bodies of 4,000 bytes take the better part of a
 * millisecond to copy, and more where their pages are touched for the first time: too long for
 * the writer lock. So their blocks are taken from the allocator by a transaction of its own, filled
 * without the lock, and become the users' bodies in the batch's transaction.
 *
 * In between they are in the slot's `reserve`, linked by `link`, with the length that each was
 * asked for: so no byte is lost where the process dies. Nobody but the slot's process writes into
 * them, and nobody reads them. What a dead process left there is given back by shm_maintain(), or
 * by the next process in that slot that may write. A process reserves one batch at a time: at most
 * SHM_BATCH_MAX blocks.
 *
 * The dirty map (dirty.h) is told of a block twice, each time under the lock: when it is
 * reserved, and when the batch takes it. What is copied in between is a reserved
 * block, whose bytes mean nothing; a copy made after the second mark has them all.
 */
#ifndef ROSTERD_SHM_TABLE_RESERVE_H
#define ROSTERD_SHM_TABLE_RESERVE_H

#include <stdbool.h>

#include <urcu/compiler.h>

#include "shm/core/actor_handle.h"
#include "shm/core/alloc.h"
#include "shm/core/dirty.h"
#include "shm/core/layout.h"
#include "shm/core/txn.h"
#include "shm/store.h"
#include "shm/table/retire.h"

/**
 * For a batch, two users or more, before the lock is taken for it: touches the memory that it will
 * be given, and where it is large reserves and fills a block for each body.
 * @return SHM_OK; SHM_EFULL where so many users more find no room in the table (of an insert:
 *   `more`); SHM_ESPACE where the arena has to grow first; as shm_writer_lock()
 */
int shm_reserve_bodies(struct shm_actor *actor, const struct shm_new_user *users, size_t count,
                       size_t more);
/** The end of a batch, which returned rc, or of an actor (SHM_EINVAL): gives back what is left,
 * unless the lock is busy. After SHM_EBUSY it is kept, for the batch will be tried again. */
void shm_reserve_end(struct shm_actor *actor, int rc);
/** Gives back what the dead left in their slots, ours included. @return whether there was something
 */
bool shm_reserve_reap(struct shm_actor *actor);

/** A block for body i of the batch in this transaction: the next one of the reserve, or a new one.
 * NULL: the arena has to grow. */
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

/** Under the lock, before the transaction begins to build: whose blocks it takes. */
static inline void shm_reserve_begin(struct shm_actor *actor)
{
    actor->next_reserved = actor->reserved ? actor->slot->reserve : NULL;
}

/** The batch's transaction has taken all of them. */
static inline void shm_reserve_log(struct shm_actor *actor)
{
    if (caa_likely(!actor->reserved))
        return;
    shm_txn_pointer(&actor->txn, &actor->slot->reserve, NULL);
    shm_txn_word(&actor->txn, &actor->slot->reserve_count, 0);
}

#endif
