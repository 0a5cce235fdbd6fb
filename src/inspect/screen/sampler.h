/* SPDX-License-Identifier: MIT */
/*
 * Samples a segment at intervals, for watch: its numbers, its slots, its counters, and how fast
 * they grow. When the segment is removed, the sampler tries to attach again at each look, and goes
 * on with the next segment of that name.
 */
#ifndef ROSTERD_INSPECT_SCREEN_SAMPLER_H
#define ROSTERD_INSPECT_SCREEN_SAMPLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inspect/core/call_stats.h"
#include "inspect/core/disk_status.h"
#include "inspect/core/inspect_options.h"
#include "inspect/core/report.h"
#include "inspect/screen/usage.h"
#include "shm/store.h"

/** Growth per second of a counter, or value of a gauge: now, and as decaying averages over 10 and
 * 60 seconds (plain averages until that much time has passed). */
struct sampler_rate {
    double now, avg10, avg60;
};

struct sampler_counter {
    char *name;  /* as the server registered it */
    char *label; /* a short form of it, made safe for a terminal */
    bool gauge;
    bool of_method; /* a number of a method, or of a histogram's bucket: sampler.recent has it */
    uint64_t value;
    struct sampler_rate rate;
};

struct sampler_slot {
    struct shm_slot_info info;
    uint64_t calls;       /* since the counters were created */
    uint64_t connections; /* open now */
    double call_rate;     /* per second */
    struct usage usage;
    double cpu; /* percent of one CPU since the last look; negative: not known */
};

/** The counters as they were at an earlier look. */
struct sampler_past {
    uint64_t ms;
    uint64_t *values;
};
/** Percentiles and error rates are those of the calls of about 10 seconds, or of the last interval
 * if that is longer: a second has too few calls for them. */
enum { SAMPLER_WINDOW_MS = 10000, SAMPLER_PAST_MAX = 16 };

struct sampler {
    const struct inspect_options *options;
    struct shm_store *store; /* NULL: not attached, `why` has the reason */
    struct shm_fault why;
    uint64_t looked_ms; /* when sampler_look() was last called, clock_monotonic_ms(); 0: never */
    double since;       /* seconds since the first look at this segment */
    struct shm_info info;
    struct disk_status disk;
    struct sampler_rate commits;
    size_t num_slots;
    struct sampler_slot slots[SHM_SLOTS];
    bool rated;           /* the counters have been sampled before */
    double counted_since; /* seconds since their first sample */
    size_t num_counters;  /* 0 if there are no counters or they cannot be read */
    struct sampler_counter *counters;
    struct call_stats *total;  /* since the counters were created; NULL: there are no counters */
    struct call_stats *recent; /* over the last `window` seconds */
    double window;             /* 0: not known yet */
    size_t num_past;           /* oldest first */
    struct sampler_past past[SAMPLER_PAST_MAX];
};

/** Attaches to the segment of the options. @return as table_attach() */
enum inspect_exit sampler_open(struct sampler *sampler, const struct inspect_options *options);
/** Takes a sample. */
void sampler_look(struct sampler *sampler);
void sampler_close(struct sampler *sampler);
/** Seconds for which the server has run; negative: there is none. */
int64_t sampler_uptime(const struct sampler *sampler);

#endif
