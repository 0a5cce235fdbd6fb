/* SPDX-License-Identifier: MIT */
/* Percentiles of durations that the server has counted in buckets. */
#ifndef ROSTERD_INSPECT_CORE_HISTOGRAM_H
#define ROSTERD_INSPECT_CORE_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

enum { HISTOGRAM_BUCKETS_MAX = 32, HISTOGRAM_MS_SIZE = 24 };

/** Zeroed: nothing has been counted. */
struct histogram {
    size_t count;                           /* buckets */
    double bounds[HISTOGRAM_BUCKETS_MAX];   /* milliseconds, ascending; the last may be infinite */
    uint64_t within[HISTOGRAM_BUCKETS_MAX]; /* durations up to the bound, so they ascend, too */
};

/** Adds the next bucket. One whose bound is not above the last one's is left out, and so is one
 * for which there is no room: the counters may be damaged. */
void histogram_add(struct histogram *histogram, double bound, uint64_t within);

/**
 * The duration that this share of all durations do not exceed. The durations of a bucket count as
 * spread evenly between its bounds.
 * @param share above 0, at most 1; 0.99 for p99
 * @return milliseconds; NAN: nothing has been counted; INFINITY: longer than the last finite bound
 */
double histogram_percentile(const struct histogram *histogram, double share);
/** The last finite bound in milliseconds; 0 if there is none. */
double histogram_longest(const struct histogram *histogram);

/** Formats that percentile as milliseconds in at most 8 characters: "0.021", "12.30", "1234",
 * ">10000" beyond the last finite bound, and "-" if nothing has been counted. */
const char *histogram_format(char text[HISTOGRAM_MS_SIZE], const struct histogram *histogram,
                             double share);

#endif
