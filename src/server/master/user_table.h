/* SPDX-License-Identifier: MIT */
/* The users' segment, as the master opens it: created, taken over, or inherited at an upgrade. */
#ifndef ROSTERD_SERVER_MASTER_USER_TABLE_H
#define ROSTERD_SERVER_MASTER_USER_TABLE_H

#include "server/config/options.h"
#include "server/master/upgrade.h"
#include "shm/counters.h"
#include "shm/store.h"

struct stats;

struct segment {
    struct shm_store *store;
    struct shm_counters *counters;
    struct shm_actor *actor;
    struct stats *stats; /* the master's counters */
    bool made;           /* by this start */
    char name[256];
    struct segment_name { /* of the segment, and of its counters */
        enum shm_name_state state;
        uint64_t told_at; /* ms */
    } names[2];
};

/** Where the address range is taken by chance, the program starts over: it does not return then.
 * @return false with fault set; what was opened is closed by segment_close() */
bool segment_open(struct segment *segment, const struct options *options,
                  const struct upgrade_origin *origin, struct fault *fault);
/**
 * Looks whether the segment and its counters have their names in /dev/shm still, gives them back,
 * and tells the log. To be called each second at least.
 * @param upgrading a new program may just now replace the counters, which are left alone
 * @return how many it has given back
 */
unsigned segment_look(struct segment *segment, uint64_t now, bool upgrading);
/** Whether all is well with its name, as segment_look() has seen it. */
bool segment_has_name(const struct segment *segment);
/** @param forget what this start made is removed again
 * @param handed_over another program holds its name from now on */
void segment_close(struct segment *segment, bool forget, bool handed_over);
/** In a worker, whose parent the actor is. */
void segment_close_in_child(struct segment *segment);

#endif
