/* SPDX-License-Identifier: MIT */
/*
 * The watches of a worker (Directory.WatchUsers): how many there may be, and when each goes on.
 *
 * A watch that has told all changes rests. Writers know nothing of watches and wake nobody: the
 * worker looks at the published version after each turn of its loop and, while a watch rests, by a
 * timer. It looks every WATCH_LOOK_BUSY_MS for a second after a change, else every
 * WATCH_LOOK_IDLE_MS. A resting watch that has something to tell is woken by
 * grpc_call_want_write(): it tells it in its connection's turn, which bounds its work as a
 * listing's. Of many watches only some are woken in a turn of the loop, so that other calls have
 * their turns between.
 */
#ifndef ROSTERD_SERVICE_DIRECTORY_DIRECTORY_WATCHES_H
#define ROSTERD_SERVICE_DIRECTORY_DIRECTORY_WATCHES_H

#include <stdbool.h>
#include <stdint.h>
#include <urcu/list.h>

#include "base/timer.h"
#include "grpc/grpc.h"
#include "service/core/service.h"
#include "service/directory/directory_changes.h"

enum {
    WATCH_LOOK_BUSY_MS = 2,
    WATCH_LOOK_IDLE_MS = 10,
    /* What a watch counts as: its connection holds so much. */
    WATCH_HOLDS = DIRECTORY_LATE_MAX * sizeof(struct directory_late_range),
};

/** A part of a call's state. Zeroed: the call is no watch. */
struct directory_watch {
    struct grpc_call *call;
    struct directory_watches *watches;
    void (*stalled)(struct grpc_call *call);
    struct cds_list_head link; /* in directory_watches.all */
    struct cds_list_head rest; /* in directory_watches.resting, while `rests` */
    bool rests;
    uint64_t told;      /* while it rests: all commits up to this one are told */
    uint64_t sent_ms;   /* when the last message was sent */
    struct timer quiet; /* expires when no message may have been sent for so long */
};

/** One per worker. */
struct directory_watches {
    struct directory_changes changes;
    struct cds_list_head all, resting; /* resting: by `told` */
    struct timer look;                 /* armed while a watch rests */
    uint64_t busy_until;               /* ms */
    uint64_t count, max;
    uint64_t bookmark; /* ms */
    bool draining;
    struct service_counts *counts;
    struct service_counts uncounted; /* what `counts` is if nobody wants it */
};

/** @return NULL: out of memory */
struct directory_watches *directory_watches_create(const struct service_config *config);
/** All watches have ended. */
void directory_watches_destroy(struct directory_watches *watches);

/**
 * @param stalled called when the watch has sent nothing for the time of a BOOKMARK and does not
 *   rest: its client does not read
 * @return false: the call has ended: the server drains, there are too many watches, or the
 *   connection holds too much
 */
bool directory_watch_enter(struct directory_watches *watches, struct directory_watch *watch,
                           struct grpc_call *call, void (*stalled)(struct grpc_call *call));
/** At the end of the call. Does nothing if it is no watch. */
void directory_watch_leave(struct directory_watches *watches, struct directory_watch *watch);

/** A message was sent. */
void directory_watch_sent(struct directory_watch *watch);
/** Whether a BOOKMARK is due. */
bool directory_watch_is_quiet(const struct directory_watch *watch);
/** All commits up to `told` are told: from now on grpc_method.on_writable comes when there are
 * more, or when a BOOKMARK may be due. */
void directory_watch_rest(struct directory_watches *watches, struct directory_watch *watch,
                          uint64_t told);

/** After each turn of the loop: wakes watches that have something to tell. */
void directory_watches_settle(struct directory_watches *watches);
/** Ends all watches with UNAVAILABLE, also those that still come. */
void directory_watches_drain(struct directory_watches *watches);

#endif
