/* SPDX-License-Identifier: MIT */
#include "service/directory/directory_watches.h"

#include <assert.h>
#include <stdlib.h>

#include "base/container_of.h"
#include "shm/disk.h"

enum {
    BUSY_MS = 1000,
    /* Watches that are woken in a turn of the loop. Each may take a turn of its connection, a
     * millisecond; usually it takes some microseconds. */
    WAKES_MAX = 16,
};

static const char watch_drain_text[] =
    "this process of the server ends: connect again, with the last resume_token, or list anew";

static struct timers *timers_of(const struct directory_watch *watch)
{
    return grpc_server_timers(grpc_call_server(watch->call));
}

static uint64_t now_of(const struct directory_watch *watch)
{
    return grpc_server_now_ms(grpc_call_server(watch->call));
}

/* ---- rest ---- */

static struct directory_watch *first_resting(const struct directory_watches *watches)
{
    return cds_list_first_entry(&watches->resting, struct directory_watch, rest);
}

static void stop_resting(struct directory_watches *watches, struct directory_watch *watch)
{
    if (!watch->rests)
        return;
    watch->rests = false;
    cds_list_del(&watch->rest);
    if (cds_list_empty(&watches->resting))
        timer_disarm(timers_of(watch), &watches->look);
}

static void watch_wake(struct directory_watches *watches, struct directory_watch *watch)
{
    stop_resting(watches, watch);
    grpc_call_want_write(watch->call);
}

void directory_watch_rest(struct directory_watches *watches, struct directory_watch *watch,
                          uint64_t told)
{
    assert(!watch->rests);
    if (cds_list_empty(&watches->resting)) {
        uint64_t now = now_of(watch);
        timer_arm(timers_of(watch), &watches->look,
                  now + (now < watches->busy_until ? WATCH_LOOK_BUSY_MS : WATCH_LOOK_IDLE_MS));
    }
    watch->rests = true;
    watch->told = told;
    cds_list_add_tail(&watch->rest, &watches->resting);
}

void directory_watches_settle(struct directory_watches *watches)
{
    if (cds_list_empty(&watches->resting))
        return;
    uint64_t published = shm_published(watches->changes.store);
    if (first_resting(watches)->told >= published)
        return;
    uint64_t now = now_of(first_resting(watches));
    struct timers *timers = timers_of(first_resting(watches));
    watches->busy_until = now + BUSY_MS;
    for (unsigned n = 0; n < WAKES_MAX; n++) {
        watch_wake(watches, first_resting(watches));
        if (cds_list_empty(&watches->resting) || first_resting(watches)->told >= published)
            return;
    }
    timer_arm(timers, &watches->look, now); /* the loop does not sleep before its next turn */
}

static void watches_look(struct timer *timer)
{
    struct directory_watches *watches = container_of(timer, struct directory_watches, look);
    assert(!cds_list_empty(&watches->resting));
    uint64_t now = now_of(first_resting(watches));
    timer_arm(timers_of(first_resting(watches)), timer,
              now + (now < watches->busy_until ? WATCH_LOOK_BUSY_MS : WATCH_LOOK_IDLE_MS));
    directory_watches_settle(watches);
}

/* ---- silence ---- */

void directory_watch_sent(struct directory_watch *watch)
{
    watch->sent_ms = now_of(watch);
}

bool directory_watch_is_quiet(const struct directory_watch *watch)
{
    return now_of(watch) - watch->sent_ms >= watch->watches->bookmark;
}

/* Messages do not move the timer: there may be thousands a second. */
static void watch_on_quiet(struct timer *timer)
{
    struct directory_watch *watch = container_of(timer, struct directory_watch, quiet);
    struct directory_watches *watches = watch->watches;
    uint64_t now = now_of(watch), due = watch->sent_ms + watches->bookmark;
    timer_arm(timers_of(watch), timer, due > now ? due : now + watches->bookmark);
    if (due > now)
        return;
    if (watch->rests)
        watch_wake(watches, watch);
    else
        watch->stalled(watch->call);
}

/* ---- begin and end ---- */

bool directory_watch_enter(struct directory_watches *watches, struct directory_watch *watch,
                           struct grpc_call *call, void (*stalled)(struct grpc_call *call))
{
    if (watches->draining) {
        grpc_call_finish(call, GRPC_UNAVAILABLE, watch_drain_text);
        return false;
    }
    if (watches->count >= watches->max) {
        grpc_call_finishf(call, GRPC_RESOURCE_EXHAUSTED,
                          "%llu watches are open in this worker, and max-watches allows no more",
                          (unsigned long long)watches->count);
        return false;
    }
    if (!grpc_call_hold(call, WATCH_HOLDS)) {
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED,
                         "the connection holds too much (max-connection-memory)");
        return false;
    }
    watch->call = call;
    watch->watches = watches;
    watch->stalled = stalled;
    watch->sent_ms = now_of(watch);
    watch->quiet.expired = watch_on_quiet;
    timer_arm(timers_of(watch), &watch->quiet, watch->sent_ms + watches->bookmark);
    cds_list_add_tail(&watch->link, &watches->all);
    watches->counts->watches = ++watches->count;
    return true;
}

void directory_watch_leave(struct directory_watches *watches, struct directory_watch *watch)
{
    if (watch->call == NULL)
        return;
    stop_resting(watches, watch);
    timer_disarm(timers_of(watch), &watch->quiet);
    cds_list_del(&watch->link);
    watch->call = NULL;
    watches->counts->watches = --watches->count;
    if (watches->count == 0)
        directory_changes_clear(&watches->changes);
}

void directory_watches_drain(struct directory_watches *watches)
{
    struct cds_list_head *at;
    watches->draining = true;
    cds_list_for_each(at, &watches->all)
    {
        struct grpc_call *call = cds_list_entry(at, struct directory_watch, link)->call;
        grpc_call_finish(call, GRPC_UNAVAILABLE, watch_drain_text);
    }
}

struct directory_watches *directory_watches_create(const struct service_config *config)
{
    struct directory_watches *watches = calloc(1, sizeof(*watches));
    if (watches == NULL)
        return NULL;
    directory_changes_init(&watches->changes, config->store, config->actor);
    CDS_INIT_LIST_HEAD(&watches->all);
    CDS_INIT_LIST_HEAD(&watches->resting);
    watches->look.expired = watches_look;
    watches->max = config->max_watches;
    watches->bookmark = config->watch_bookmark;
    watches->counts = config->counts != NULL ? config->counts : &watches->uncounted;
    return watches;
}

void directory_watches_destroy(struct directory_watches *watches)
{
    directory_changes_clear(&watches->changes);
    free(watches);
}
