/* SPDX-License-Identifier: MIT */
/*
 * Timers of any duration for one event loop: a hierarchical wheel with ticks
 * of one millisecond, because most timers (deadlines) are disarmed before they
 * expire: arm and disarm are a few stores. (libh2o's h2o_timeout_t is one list
 * per duration, and each turn looks at every list.)
 */
#ifndef ROSTERD_GRPC_TIMER_H
#define ROSTERD_GRPC_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Zeroed (but for expired) is a timer that is not armed. */
struct grpc_timer {
    struct grpc_timer *next, **prev; /* prev NULL: not armed */
    uint64_t at;                     /* ms on the wheel's clock */
    /** Called once, disarmed; may arm it again and may free it. */
    void (*expired)(struct grpc_timer *timer);
};

struct grpc_timers;

/** @return NULL when memory is exhausted */
struct grpc_timers *grpc_timers_create(uint64_t now_ms);
/** Timers that are still armed never fire; they must not be disarmed any more. */
void grpc_timers_destroy(struct grpc_timers *timers);
/** Fires in the first grpc_timers_run() with now >= at. An armed timer is moved. One that is due
 * already, armed by a callback of grpc_timers_run(), waits for the next run. */
void grpc_timer_arm(struct grpc_timers *timers, struct grpc_timer *timer, uint64_t at_ms);
/** A timer that is not armed is left alone. */
void grpc_timer_disarm(struct grpc_timers *timers, struct grpc_timer *timer);
static inline bool grpc_timer_armed(const struct grpc_timer *timer)
{
    return timer->prev != NULL;
}
/** Calls what is due. now_ms comes from a monotonic clock. */
void grpc_timers_run(struct grpc_timers *timers, uint64_t now_ms);
/** Milliseconds until something may be due (never later than the truth), or -1. */
int32_t grpc_timers_wait(const struct grpc_timers *timers, uint64_t now_ms);

#endif
