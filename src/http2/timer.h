/* SPDX-License-Identifier: MIT */
/*
 * Timers of any duration for one event loop: a hierarchical wheel with ticks
 * of one millisecond, because most timers (deadlines) are disarmed before they
 * expire: arm and disarm are a few stores. (libh2o's h2o_timeout_t is one list
 * per duration, and each turn looks at every list.)
 */
#ifndef ROSTERD_HTTP2_TIMER_H
#define ROSTERD_HTTP2_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Zeroed (but for expired) is a timer that is not armed. */
struct http2_timer {
    struct http2_timer *next, **prev; /* prev NULL: not armed */
    uint64_t at;                      /* ms on the wheel's clock */
    /** Called once, disarmed; may arm it again and may free it. */
    void (*expired)(struct http2_timer *timer);
};

struct http2_timers;

/** @return NULL when memory is exhausted */
struct http2_timers *http2_timers_create(uint64_t now_ms);
/** The clock of the timers' owner: CLOCK_MONOTONIC in ms, which nobody sets, read once until
 * http2_timers_stale(). */
uint64_t http2_timers_now(struct http2_timers *timers);
/** Reads it again at the next http2_timers_now(): time may have passed. */
void http2_timers_stale(struct http2_timers *timers);
/** Timers that are still armed never fire; they must not be disarmed any more. */
void http2_timers_destroy(struct http2_timers *timers);
/** Fires in the first http2_timers_run() with now >= at. An armed timer is moved. One that is due
 * already, armed by a callback of http2_timers_run(), waits for the next run. */
void http2_timer_arm(struct http2_timers *timers, struct http2_timer *timer, uint64_t at_ms);
/** A timer that is not armed is left alone. */
void http2_timer_disarm(struct http2_timers *timers, struct http2_timer *timer);
static inline bool http2_timer_armed(const struct http2_timer *timer)
{
    return timer->prev != NULL;
}
/** Calls what is due. now_ms comes from a monotonic clock. */
void http2_timers_run(struct http2_timers *timers, uint64_t now_ms);
/** Milliseconds until something may be due (never later than the truth), or -1. */
int32_t http2_timers_wait(const struct http2_timers *timers, uint64_t now_ms);

#endif
