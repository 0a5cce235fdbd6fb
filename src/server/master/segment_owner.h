/* SPDX-License-Identifier: MIT */
/*
 * The master owns the users' segment and the segment of the counters. It creates them, takes them
 * over from an earlier server, or inherits them in an upgrade; it keeps their names in /dev/shm;
 * and it gives them up at its end.
 */
#ifndef ROSTERD_SERVER_MASTER_SEGMENT_OWNER_H
#define ROSTERD_SERVER_MASTER_SEGMENT_OWNER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "server/config/options.h"
#include "server/master/data_owner.h"
#include "server/master/predecessor.h"
#include "shm/counters.h"
#include "shm/store.h"

/** What is known of a name in /dev/shm. */
struct segment_name {
    enum shm_name_state state;
    uint64_t logged_at; /* ms: when the state was last logged */
};

struct stats;

struct segment_owner {
    struct shm_store *store;
    struct shm_counters *counters;
    struct shm_actor *actor;
    struct data_owner data; /* the users on disk */
    struct stats *stats;    /* the counters of the master itself */
    bool created;           /* by this start, so that a failed start may remove it */
    bool opened;            /* all users are there, as of the commit `opened_at` */
    uint64_t opened_at;
    char name[256],
        moved_to[256]; /* moved_to: where --segment-reset has the old one; "": nowhere */
    struct segment_name users_name, counters_name;
};

/**
 * Opens both segments, and joins the users' segment as the master. Does not return when the
 * segment's address range is taken by chance: the program then starts again (shm_exec_again()).
 * @return false: what was opened is closed by segment_owner_close()
 */
bool segment_owner_open(struct segment_owner *owner, const struct options *options,
                        const struct predecessor *predecessor, struct fault *fault);
/** Logs what an operator looks for first after a start: where the users come from, and how many
 * there are. */
void segment_owner_log_users(const struct segment_owner *owner, bool upgrading);
/**
 * Checks whether the segments still have their names in /dev/shm, restores a name that was removed,
 * and logs it. To be called at least once per second.
 * @param upgrading the successor may be replacing the counters right now, so their name is not
 *   checked
 * @return how many names were restored
 */
unsigned segment_owner_check_names(struct segment_owner *owner, uint64_t now, bool upgrading);
/** Whether the users' segment had its name at the last check. */
bool segment_owner_has_name(const struct segment_owner *owner);
/**
 * The master's end.
 * @param forget the start has failed: undo what it has created and moved, unless a client has
 * written something already
 * @param leave_name another program owns the name from now on
 */
void segment_owner_close(struct segment_owner *owner, bool forget, bool leave_name);
/** In a worker's process: unmaps the segments, and leaves the master's slot to the master. */
void segment_owner_close_in_worker(struct segment_owner *owner);

#endif
