/* SPDX-License-Identifier: MIT */
/*
 * Timers of any duration for one event loop: a hierarchical wheel with ticks
 * of one millisecond, because most timers (deadlines) are disarmed before they
 * expire: arm and disarm are a few stores. (libh2o's h2o_timeout_t is one list
 * per duration, and each turn looks at every list.)
 */
#ifndef ROSTERD_BASE_TIMER_H
#define ROSTERD_BASE_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Zeroed (but for expired) is a timer that is not armed. */
struct timer {
    struct timer *next, **prev; /* prev NULL: not armed */
    uint64_t at;                /* ms on the wheel's clock */
    /** Called once, disarmed; may arm it again and may free it. */
    void (*expired)(struct timer *timer);
};

struct timers;

/** @return NULL when memory is exhausted */
struct timers *timers_create(uint64_t now_ms);
/** The clock of the timers' owner: CLOCK_MONOTONIC in ms, which nobody sets, read once until
 * timers_stale(). */
uint64_t timers_now(struct timers *timers);
/** Reads it again at the next timers_now(): time may have passed. */
void timers_stale(struct timers *timers);
/** Timers that are still armed never fire; they must not be disarmed any more. */
void timers_destroy(struct timers *timers);
/** Fires in the first timers_run() with now >= at. An armed timer is moved. One that is due
 * already, armed by a callback of timers_run(), waits for the next run. */
void timer_arm(struct timers *timers, struct timer *timer, uint64_t at_ms);
/** A timer that is not armed is left alone. */
void timer_disarm(struct timers *timers, struct timer *timer);
static inline bool timer_armed(const struct timer *timer)
{
    return timer->prev != NULL;
}
/** Calls what is due. now_ms comes from a monotonic clock. */
void timers_run(struct timers *timers, uint64_t now_ms);
/** Milliseconds until something may be due (never later than the truth), or -1. */
int32_t timers_wait(const struct timers *timers, uint64_t now_ms);

#endif
