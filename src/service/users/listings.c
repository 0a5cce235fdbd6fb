/* SPDX-License-Identifier: MIT */
#include "service/users/listings.h"

#include <assert.h>
#include <stdio.h>

#include "base/container_of.h"
#include "base/units.h"

enum {
    LISTINGS_SWEEP_MS = 250,
    STALLED_MS = 250, /* a listing that makes no progress for so long is stalled */
    SLOW_MS = 500,    /* a listing that takes so long may have to make room, stalled or not */
    ROOM_MS = 100,    /* how long a pin may take to become free before another listing is ended */
    /* How many listings are examined to find a stalled one: twice the number of pins. */
    LOOK_MAX = 256,
};

static const char crowded_text[] =
    "the listing did not get on, and others could not begin: too many snapshots are open";

/* ---- the end of listings ---- */

static void stop_waiting(struct listings *listings, struct listing *listing)
{
    if (!listing->waits)
        return;
    listing->waits = false;
    pin_share_give(listing->share, listing->snapshot.pin);
    cds_list_del(&listing->link);
    if (cds_list_empty(&listings->waiting))
        timer_disarm(grpc_server_timers(grpc_call_server(listing->call)), &listings->sweep);
}

void listing_end(struct listings *listings, struct listing *listing)
{
    if (!listing->open)
        return;
    listing->open = false;
    stop_waiting(listings, listing);
    shm_snapshot_end(listings->actor, &listing->snapshot);
}

/* Ends the calls of all listings that were moved to the list `ended`. The end of one call may end
 * others and take them off the list. */
static void abort_all(struct listings *listings, struct cds_list_head *ended, const char *text)
{
    while (!cds_list_empty(ended)) {
        struct listing *listing = cds_list_first_entry(ended, struct listing, link);
        /* the snapshot first: the client may read what is buffered as late as it likes */
        listing_end(listings, listing);
        grpc_call_finish(listing->call, GRPC_ABORTED, text);
    }
}

/* ---- age and memory ---- */

static void arm_sweep(struct listings *listings, struct grpc_server *server)
{
    timer_arm(grpc_server_timers(server), &listings->sweep,
              grpc_server_now_ms(server) + LISTINGS_SWEEP_MS);
}

static void listings_on_sweep(struct timer *timer)
{
    struct listings *listings = container_of(timer, struct listings, sweep);
    assert(!cds_list_empty(&listings->waiting));
    struct grpc_server *server =
        grpc_call_server(cds_list_first_entry(&listings->waiting, struct listing, link)->call);
    uint64_t now = grpc_server_now_ms(server);
    struct cds_list_head old, revoked, *at, *next;
    CDS_INIT_LIST_HEAD(&old);
    CDS_INIT_LIST_HEAD(&revoked);
    cds_list_for_each_safe(at, next, &listings->waiting)
    {
        struct listing *listing = cds_list_entry(at, struct listing, link);
        if (shm_snapshot_revoked(listings->actor, &listing->snapshot))
            cds_list_move(&listing->link, &revoked);
        else if (listing->until <= now)
            cds_list_move(&listing->link, &old);
    }
    if (!cds_list_empty(&listings->waiting))
        arm_sweep(listings, server);
    abort_all(listings, &revoked, listings->revoked_text);
    abort_all(listings, &old, listings->old_text);
}

/* ---- pins ---- */

static bool is_stalled(const struct listing *listing, uint64_t now)
{
    return now - listing->progress >= STALLED_MS;
}

static bool is_slow(const struct listing *listing, uint64_t now)
{
    return now - listing->began >= SLOW_MS;
}

/* The oldest listing that is stalled; if none is, the oldest one if it is slow. Without the second
 * rule a client that reads one user now and then would keep its snapshot as long as it likes.
 * @return NULL: no listing has to make room */
static const struct listing *find_stalled(struct listings *listings, uint64_t now)
{
    unsigned looked = 0;
    struct cds_list_head *at;
    cds_list_for_each(at, &listings->waiting)
    {
        const struct listing *listing = cds_list_entry(at, struct listing, link);
        if (is_stalled(listing, now))
            return listing;
        if (++looked == LOOK_MAX)
            break;
    }
    if (cds_list_empty(&listings->waiting))
        return NULL;
    const struct listing *oldest = cds_list_first_entry(&listings->waiting, struct listing, link);
    return is_slow(oldest, now) ? oldest : NULL;
}

/* Ends the listing that find_stalled() finds, and all stalled or slow ones that share its pin. */
static void end_stalled(struct listings *listings, uint64_t now)
{
    if (listings->made_room != 0 && now - listings->made_room < ROOM_MS)
        return;
    const struct listing *oldest = find_stalled(listings, now);
    listings->made_room = oldest != NULL ? now : 0;
    if (oldest == NULL)
        return;
    uint32_t pin = oldest->snapshot.pin;
    struct cds_list_head ended, *at, *next;
    CDS_INIT_LIST_HEAD(&ended);
    cds_list_for_each_safe(at, next, &listings->waiting)
    {
        struct listing *listing = cds_list_entry(at, struct listing, link);
        if (listing->snapshot.pin == pin && (is_stalled(listing, now) || is_slow(listing, now)))
            cds_list_move(&listing->link, &ended);
    }
    abort_all(listings, &ended, crowded_text);
}

/* ---- begin and wait ---- */

int listing_begin(struct listings *listings, struct listing *listing, uint64_t now_ms)
{
    assert(!listing->open);
    int result = shm_snapshot_begin(listings->actor, &listing->snapshot);
    if (result == SHM_EPINS) {
        end_stalled(listings, now_ms);
        result = shm_snapshot_begin(listings->actor, &listing->snapshot);
    }
    if (result == SHM_OK) {
        listing->open = true;
        listings->made_room = 0;
    }
    return result;
}

/* After SHM_EPINS: whether a pin becomes free soon, so that the call should try again. */
static bool listings_awaits_pin(const struct listings *listings)
{
    return listings->made_room != 0;
}

bool listing_start(struct listings *listings, struct listing *listing, struct grpc_call *call,
                   struct parking *parking, void (*again)(struct grpc_call *call))
{
    int result = listing_begin(listings, listing, grpc_server_now_ms(grpc_call_server(call)));
    if (result == SHM_EPINS && listings_awaits_pin(listings) && parking_enter(parking, call, again))
        return false;
    parking_leave(parking, call);
    if (result == SHM_OK)
        return true;
    grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED,
                     result == SHM_EPINS ? "too many listings at once, try again"
                                         : shm_strerror(result));
    return false;
}

bool listing_wait(struct listings *listings, struct listing *listing, struct grpc_call *call,
                  bool progress)
{
    assert(listing->open);
    uint64_t now = grpc_server_now_ms(grpc_call_server(call));
    if (progress || !listing->waits)
        listing->progress = now;
    if (listing->waits)
        return true;
    listing->share =
        pin_share_take(&listings->shares, grpc_call_connection(call), listing->snapshot.pin);
    if (listing->share == NULL)
        return false;
    listing->waits = true;
    listing->call = call;
    listing->began = now;
    listing->until = now + listings->max_age;
    if (cds_list_empty(&listings->waiting))
        arm_sweep(listings, grpc_call_server(call));
    cds_list_add_tail(&listing->link, &listings->waiting);
    return true;
}

void listings_init(struct listings *listings, struct shm_actor *actor, uint64_t max_age,
                   uint64_t max_bytes)
{
    listings->actor = actor;
    CDS_INIT_LIST_HEAD(&listings->waiting);
    pin_shares_init(&listings->shares);
    listings->sweep.expired = listings_on_sweep;
    listings->max_age = max_age;
    char limit[24];
    units_format_time(limit, sizeof(limit), max_age);
    snprintf(listings->old_text, sizeof(listings->old_text),
             "the listing's snapshot is older than snapshot-max-age (%s)", limit);
    units_format_size(limit, sizeof(limit), max_bytes);
    snprintf(listings->revoked_text, sizeof(listings->revoked_text),
             "the listing's snapshot kept more than snapshot-max-bytes (%s) of changed users in "
             "memory",
             limit);
}
