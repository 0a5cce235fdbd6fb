/* SPDX-License-Identifier: MIT */
#ifndef ROSTERD_SHM_REBUILD_REBUILD_MOVE_H
#define ROSTERD_SHM_REBUILD_REBUILD_MOVE_H

#include "shm/rebuild/rebuild_step.h"

/** Moves the nodes of a table to the larger table control.rebuild.to, from where control.rebuild
 * stands, and puts that in its place. Then control.rebuild.to is the old table, to be freed. */
int rebuild_move(struct rebuild *r, unsigned which);

#endif
