/* SPDX-License-Identifier: MIT */
#ifndef ROSTERD_SHM_WRITE_NEW_BODY_H
#define ROSTERD_SHM_WRITE_NEW_BODY_H

#include <stddef.h>

#include "shm/core/layout.h"
#include "shm/store.h"

/**
 * Builds the body of the batch's user i, for the next version, in memory that no reader can reach
 * yet: in the next block of the reserve, or in a new one. Under the writer lock.
 * @param node the user's; its `body` is not changed
 * @param prev the older body, or NULL
 * @return NULL: the arena has to grow
 */
struct shm_body *shm_body_build(struct shm_actor *actor, const struct shm_new_user *user, size_t i,
                                struct shm_node *node, struct shm_body *prev);

#endif
