/* SPDX-License-Identifier: MIT */
/*
 * The open snapshots of a worker's listings (ListUsers), and when each of them ends.
 *
 * A snapshot keeps replaced and deleted users in memory. A listing that waits, mostly for its
 * client to read, is therefore checked every 250 ms, whether or not the client reads. A listing
 * older than snapshot-max-age, or whose snapshot the store has revoked for snapshot-max-bytes,
 * releases its snapshot and ends ABORTED. The client learns that when it has read what was sent
 * before.
 *
 * A worker has a limited number of pins, one for each version of the table that snapshots hold.
 * When no pin is free for a new listing, the oldest listing that makes no progress ends ABORTED,
 * and with it all that share its pin and make no progress. A pin that kept memory becomes free one
 * grace period later: the new listing waits for that (parking.h), and no other listing is ended
 * meanwhile.
 */
#ifndef ROSTERD_SERVICE_USERS_LISTINGS_H
#define ROSTERD_SERVICE_USERS_LISTINGS_H

#include <stdbool.h>
#include <stdint.h>
#include <urcu/list.h>

#include "base/timer.h"
#include "grpc/grpc.h"
#include "service/users/parking.h"
#include "service/users/pin_share.h"
#include "shm/store.h"

/** One listing's snapshot. Zeroed: it has none. */
struct listing {
    bool open; /* the snapshot has begun and not ended */
    bool waits;
    struct shm_snapshot snapshot;
    /* while it waits: */
    struct grpc_call *call;
    struct cds_list_head link; /* in listings.waiting */
    struct pin_share *share;
    uint64_t began;    /* ms; it first waited */
    uint64_t until;    /* ms; snapshot-max-age after that */
    uint64_t progress; /* ms; it last sent a user or passed deleted ones */
};

/** One per worker. */
struct listings {
    struct shm_actor *actor;
    struct timer sweep;           /* armed while any listing waits */
    struct cds_list_head waiting; /* struct listing, the oldest first */
    struct pin_shares shares;     /* pins that the waiting ones hold, by connection */
    uint64_t made_room;           /* ms; listings were ended for a pin; 0: no pin is awaited */
    uint64_t max_age;             /* ms */
    char old_text[128];           /* status text of a listing that is too old */
    char revoked_text[128];       /* status text of a listing whose snapshot was revoked */
};

/** @param max_age snapshot-max-age in ms @param max_bytes snapshot-max-bytes, for the text alone */
void listings_init(struct listings *listings, struct shm_actor *actor, uint64_t max_age,
                   uint64_t max_bytes);

/**
 * Begins the snapshot; ends others if that is necessary.
 * @return SHM_OK; SHM_EPINS: no pin is free, see listing_start(); or another error
 */
int listing_begin(struct listings *listings, struct listing *listing, uint64_t now_ms);
/**
 * listing_begin() for a call, which is parked while a pin becomes free.
 * @param again begins again, from the parking
 * @return false: the call is parked, or it has ended with RESOURCE_EXHAUSTED
 */
bool listing_start(struct listings *listings, struct listing *listing, struct grpc_call *call,
                   struct parking *parking, void (*again)(struct grpc_call *call));
/** Ends the snapshot, and with it the wait. Does nothing when the listing has no snapshot. */
void listing_end(struct listings *listings, struct listing *listing);

/**
 * The listing waits: for its client, or for its connection's next turn. From now on it may be ended
 * at any time, with its call, until listing_end(). Called again for one that waits already.
 * @param progress whether it got on since the last call
 * @return false: the connection has PIN_SHARE_MAX listings of different versions under way, or
 *   memory is exhausted; the listing does not wait
 */
bool listing_wait(struct listings *listings, struct listing *listing, struct grpc_call *call,
                  bool progress);

#endif
