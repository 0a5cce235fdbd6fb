/* SPDX-License-Identifier: MIT */
/*
 * Whether the server as a whole refuses to create users for want of room, from what its workers
 * count. One table has many workers, and near its bound some calls fit and others do not: so the
 * refusal begins with the first refused write, and ends when none has been refused for a while and
 * there is room again. Calls nothing, and has no clock of its own.
 */
#ifndef ROSTERD_SERVER_MASTER_REFUSALS_H
#define ROSTERD_SERVER_MASTER_REFUSALS_H

#include <stdbool.h>
#include <stdint.h>

#include "shm/headroom.h"

enum {
    /* No write was refused for this long: the refusal may end. If it begins again soon after, the
     * time doubles, so that a table that hovers at its bound does not fill the log. */
    REFUSALS_CALM_MS = 2000,
    REFUSALS_CALM_MAX_MS = 64000,
    REFUSALS_SOON_MS = 60000,
    REFUSALS_ROOM_STEP = 2 << 20, /* bytes by which a segment can grow: it is not full */
    REFUSALS_ROOM_USERS = 64,     /* room for this many users came up: not the rest of a block */
};

/** Writes that were refused since the counters began, by the store's reason. */
struct refusals_counts {
    uint64_t users;   /* SHM_EFULL */
    uint64_t segment; /* SHM_ELIMIT */
    uint64_t memory;  /* SHM_ESPACE: /dev/shm, or a control group */
};

/** Zeroed, then refusals_begin(). Times are ms. */
struct refusals {
    bool refused;         /* users are refused at present */
    enum shm_bound bound; /* why, if they are */
    struct refusals_counts counts;
    uint64_t before; /* writes refused before this refusal began */
    uint64_t since;  /* when it began */
    uint64_t last;   /* when a write was last refused */
    uint64_t ended;  /* when the last refusal ended; 0: there was none */
    uint64_t calm;   /* this long without a refused write before it ends */
    uint64_t users;  /* the fewest users, and ... */
    uint64_t bytes;  /* ... the least room for more, since it began */
};

enum refusals_news { REFUSALS_SAME, REFUSALS_BEGUN, REFUSALS_ENDED };

/** @param counts those of earlier servers, which are no news */
void refusals_begin(struct refusals *refusals, const struct refusals_counts *counts);
/** Whether refusals_note() has anything to find out: if not, the caller need not look at the
 * table. */
bool refusals_pending(const struct refusals *refusals, const struct refusals_counts *counts);
/** @param info, headroom of the table at the moment */
enum refusals_news refusals_note(struct refusals *refusals, const struct refusals_counts *counts,
                                 const struct shm_info *info, const struct shm_headroom *headroom,
                                 uint64_t now);
/** How many writes were refused since the present, or the last, refusal began. */
uint64_t refusals_writes(const struct refusals *refusals);

#endif
