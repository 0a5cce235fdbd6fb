/* SPDX-License-Identifier: MIT */
/*
 * The time as one number. Monotonic clocks measure durations and cannot be set; real clocks tell
 * the time of day. Coarse clocks cost only a memory read, and are late by up to one tick of the
 * kernel (1 to 10 ms).
 */
#ifndef ROSTERD_BASE_CLOCK_H
#define ROSTERD_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

/** A time in milliseconds that never comes. */
#define CLOCK_NEVER_MS UINT64_MAX

static inline uint64_t clock_read_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static inline uint64_t clock_monotonic_ns(void)
{
    return clock_read_ns(CLOCK_MONOTONIC);
}

static inline uint64_t clock_monotonic_us(void)
{
    return clock_read_ns(CLOCK_MONOTONIC) / 1000;
}

static inline uint64_t clock_monotonic_ms(void)
{
    return clock_read_ns(CLOCK_MONOTONIC) / 1000000;
}

static inline uint64_t clock_monotonic_coarse_ms(void)
{
    return clock_read_ns(CLOCK_MONOTONIC_COARSE) / 1000000;
}

/** Milliseconds since the epoch. */
static inline uint64_t clock_real_ms(void)
{
    return clock_read_ns(CLOCK_REALTIME) / 1000000;
}

/** Seconds since the epoch. */
static inline int64_t clock_real_s(void)
{
    return (int64_t)(clock_read_ns(CLOCK_REALTIME) / 1000000000);
}

/** Seconds since the machine booted; they pass in suspend, too. All processes see the same. */
static inline int64_t clock_boottime_s(void)
{
    return (int64_t)(clock_read_ns(CLOCK_BOOTTIME) / 1000000000);
}

/** Seconds since the epoch. */
static inline int64_t clock_real_coarse_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    return now.tv_sec;
}

#endif
