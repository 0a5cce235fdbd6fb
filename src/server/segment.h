/* SPDX-License-Identifier: MIT */
/* The users' segment, as the master opens it: created, taken over, or inherited at an upgrade. */
#ifndef ROSTERD_SERVER_SEGMENT_H
#define ROSTERD_SERVER_SEGMENT_H

#include "server/options.h"
#include "server/upgrade.h"
#include "shm/counters.h"
#include "shm/store.h"

struct segment {
    struct shm_store *store;
    struct shm_counters *counters;
    struct shm_actor *actor;
    bool made; /* by this start */
};

/** Where the address range is taken by chance, the program starts over: it does not return then.
 * @return false with fault set; what was opened is closed by segment_close() */
bool segment_open(struct segment *segment, const struct options *options,
                  const struct upgrade_origin *origin, struct options_fault *fault);
/** @param forget what this start made is removed again */
void segment_close(struct segment *segment, const char *name, bool forget);
/** In a worker, whose parent the actor is. */
void segment_close_in_child(struct segment *segment);

#endif
