/* SPDX-License-Identifier: MIT */
#ifndef ROSTERD_SHM_REBUILD_REBUILD_FILL_H
#define ROSTERD_SHM_REBUILD_REBUILD_FILL_H

#include "shm/rebuild/rebuild_step.h"

/** Fills the new index of a key, from where control.rebuild stands, and puts it in its place. */
int rebuild_fill(struct rebuild *r, unsigned key);

#endif
