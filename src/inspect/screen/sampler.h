/* SPDX-License-Identifier: MIT */
/*
 * Looks at a segment again and again, for watch: its numbers, who takes part, the
 * counters, and how fast they grow. It survives the segment: where that is replaced, it goes on
 * with the new one, and where there is none, it says so and looks again.
 */
#ifndef ROSTERD_INSPECT_SCREEN_SAMPLER_H
#define ROSTERD_INSPECT_SCREEN_SAMPLER_H

#include "inspect/core/inspect.h"
#include "shm/counters.h"

/** A second's growth; of a gauge, its value. Averages decay, over 10 and 60 seconds; before that
 * much time has passed they are plain ones. */
struct sampler_rate {
    double now, avg10, avg60;
};

struct sampler_counter {
    char *name;  /* as the server has it */
    char *label; /* a short form of it, made safe for a terminal */
    bool gauge;
    uint64_t value;
    struct sampler_rate rate;
};

struct sampler_slot {
    struct shm_slot_info info;
    uint64_t calls, connections; /* since the counters were made; open now */
    double call_rate;
};

struct sampler {
    const struct inspect_options *options;
    struct shm_store *store; /* NULL: there is no segment now, and */
    struct shm_fault why;    /* that is why */
    uint64_t looked_ms;      /* CLOCK_MONOTONIC; 0: not yet */
    double since;            /* seconds since the first look at this segment */
    struct shm_info info;
    struct sampler_rate commits;
    size_t num_slots;
    struct sampler_slot slots[SHM_SLOTS];
    bool rated; /* the counters have been seen before */
    double counted_since;
    size_t num_counters; /* 0 also where there are none to read */
    struct sampler_counter *counters;
};

/** Attaches. @return as inspect_attach() */
enum inspect_exit sampler_open(struct sampler *sampler, const struct inspect_options *options);
/** Looks. */
void sampler_look(struct sampler *sampler);
void sampler_close(struct sampler *sampler);

#endif
