/* SPDX-License-Identifier: MIT */
/*
 * Timers of any duration for one event loop: a hierarchical timing wheel with ticks of one
 * millisecond. Most timers (deadlines) are disarmed before they expire, and arming and disarming
 * take only a few stores. (libh2o's h2o_timeout_t needs a list for each duration, and looks at
 * every list in each turn of the loop.)
 *
 * A timer is a member of the struct that it belongs to; its callback finds that by container_of().
 */
#ifndef ROSTERD_BASE_TIMER_H
#define ROSTERD_BASE_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** A timer that is zeroed except for `expired` is not armed. */
struct timer {
    struct timer *next, **prev; /* prev NULL: not armed */
    uint64_t at;                /* when it expires, in ms on the wheel's clock */
    /** Called when the timer expires and is disarmed. May arm it again, and may free it. */
    void (*expired)(struct timer *timer);
};

struct timers;

/** @return NULL: out of memory */
struct timers *timers_create(uint64_t now_ms);
/** The time in ms by CLOCK_MONOTONIC. The clock is read at the first call after timers_stale();
 * until the next timers_stale() all calls return that time. */
uint64_t timers_now(struct timers *timers);
/** Makes the next timers_now() read the clock. To be called after each wait of the loop. */
void timers_stale(struct timers *timers);
/** Frees the wheel. Timers that are still armed never expire, and must not be disarmed any more. */
void timers_destroy(struct timers *timers);
/** Arms a timer, or moves an armed one. It expires in the first timers_run() with now_ms >= at_ms;
 * a timer that a callback of timers_run() arms for a past time waits for the next run. */
void timer_arm(struct timers *timers, struct timer *timer, uint64_t at_ms);
/** Does nothing if the timer is not armed. */
void timer_disarm(struct timers *timers, struct timer *timer);
static inline bool timer_armed(const struct timer *timer)
{
    return timer->prev != NULL;
}
/** Calls `expired` of each timer that is due. @param now_ms never less than in an earlier call */
void timers_run(struct timers *timers, uint64_t now_ms);
/** @return milliseconds until a timer may be due, never too many; -1: no timer is armed */
int32_t timers_wait(const struct timers *timers, uint64_t now_ms);

#endif
