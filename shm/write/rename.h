/* SPDX-License-Identifier: MIT */
/*
 * A user's unique keys change. A node is in the chain of one value of a key, and two versions of
 * the table may need it in two chains. So the user gets a new node, with the new body, and the same
 * transaction ends the old node. For the hash chains, for lookups and for reclaim it is as if the
 * user were deleted and created again, in one commit. These are the differences:
 *
 * - The new node has the old one's sequence number and, in the order list, the place in front of
 *   it. So of the nodes of one number the newest comes first, and as in a hash chain (hash_chain.h)
 *   the first one that is not too young decides: those behind it had ended before it was made.
 * - The new node is marked as SHM_NODE_RENAMED. Along the order list `born` never decreases, except
 *   at such nodes: a listing skips one that is too young, and ends at any other that is
 *   (cursor.c). The mark stays when the node is unlinked, because a listing may stand on it.
 * - A user has at most one tower (tower.h). It leads to the newest of the user's nodes that are
 *   linked. A reader may find any of them by it: all have the number that it asked for.
 * - The feed has one entry, for an update.
 */
#ifndef ROSTERD_SHM_WRITE_RENAME_H
#define ROSTERD_SHM_WRITE_RENAME_H

#include "shm/core/actor_handle.h"
#include "shm/store.h"

/** Commits the update of one user whose node is the batch's first. Under the writer lock.
 * @return SHM_OK, SHM_EKEY (conflict says more), SHM_ESPACE (the arena has to grow) */
int shm_rename(struct shm_actor *actor, const struct shm_new_user *user,
               struct shm_conflict *conflict);

#endif
