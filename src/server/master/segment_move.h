/* SPDX-License-Identifier: MIT */
/* A segment that an earlier version made has the name that was the default then. */
#ifndef ROSTERD_SERVER_MASTER_SEGMENT_MOVE_H
#define ROSTERD_SERVER_MASTER_SEGMENT_MOVE_H

#include <stdbool.h>

#include "base/fault.h"

/** At a start whose segment has the default name: moves an earlier version's segment there, if it
 * is this user's and there is none yet. Logs that it did.
 * @return false: there is one, and it cannot be moved; a start without it would begin with none of
 *   its users */
bool segment_move_old(const char *name, struct fault *fault);

#endif
