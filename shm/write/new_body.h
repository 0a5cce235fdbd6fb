/* SPDX-License-Identifier: MIT */
#ifndef ROSTERD_SHM_WRITE_NEW_BODY_H
#define ROSTERD_SHM_WRITE_NEW_BODY_H

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "shm/core/actor_handle.h"
#include "shm/core/hash.h"
#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/store.h"
#include "shm/write/reserve.h"

/**
 * Builds the body of the batch's user i, for the next version, in memory that no reader can reach
 * yet: in the next block of the reserve, or in a new one. Under the writer lock.
 * @param node the user's; its `body` is not changed
 * @param prev the older body, or NULL
 * @return NULL: the arena has to grow
 */
static inline struct shm_body *shm_body_build(struct shm_actor *actor,
                                              const struct shm_new_user *user, size_t i,
                                              struct shm_node *node, struct shm_body *prev)
{
    uint64_t version = shm_control()->version + 1;
    struct shm_body *body = shm_reserve_take(actor, user->body_len + user->hidden_len);
    if (body == NULL)
        return NULL;
#ifdef SHM_DEBUG_CHECKS
    assert(!actor->reserved ||
           (body->length == user->body_len && body->hidden == user->hidden_len));
#endif
    body->prev = prev;
    body->from = &node->body;
    body->born = version;
    body->died = SHM_NEVER;
    body->token = 0;
    shm_body_set(body, user, SHM_BODY_LIVE, shm_check_body(actor->batch.check[i], version));
#ifdef SHM_MUTANT_LOST_HIDDEN
    if (prev != NULL)
        body->hidden = 0;
#endif
    if (!actor->reserved) /* else the reserve's blocks are filled already */
        shm_body_fill(body, user);
    return body;
}

#endif
