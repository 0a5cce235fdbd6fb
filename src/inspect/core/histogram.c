/* SPDX-License-Identifier: MIT */
#include "inspect/core/histogram.h"

#include <math.h>
#include <stdio.h>
#include <sys/param.h>

void histogram_add(struct histogram *histogram, double bound, uint64_t within)
{
    size_t at = histogram->count;
    if (at == HISTOGRAM_BUCKETS_MAX || !(bound > (at > 0 ? histogram->bounds[at - 1] : 0)))
        return;
    /* The server counts on while the buckets are read one after the other. */
    histogram->bounds[at] = bound;
    histogram->within[at] = at > 0 ? MAX(within, histogram->within[at - 1]) : within;
    histogram->count++;
}

double histogram_percentile(const struct histogram *histogram, double share)
{
    size_t last = histogram->count;
    if (last == 0 || histogram->within[last - 1] == 0)
        return NAN;
    double rank = share * (double)histogram->within[last - 1];
    size_t i = 0;
    while (i + 1 < last && (double)histogram->within[i] < rank)
        i++;
    if (isinf(histogram->bounds[i]))
        return INFINITY;
    double from = i > 0 ? histogram->bounds[i - 1] : 0;
    double before = i > 0 ? (double)histogram->within[i - 1] : 0;
    double inside = (double)histogram->within[i] - before;
    return from + (histogram->bounds[i] - from) * MIN((rank - before) / inside, 1);
}

double histogram_longest(const struct histogram *histogram)
{
    for (size_t i = histogram->count; i > 0; i--)
        if (!isinf(histogram->bounds[i - 1]))
            return histogram->bounds[i - 1];
    return 0;
}

const char *histogram_format(char text[HISTOGRAM_MS_SIZE], const struct histogram *histogram,
                             double share)
{
    double ms = histogram_percentile(histogram, share);
    if (isnan(ms))
        return "-";
    if (isinf(ms))
        snprintf(text, HISTOGRAM_MS_SIZE, ">%.0f", histogram_longest(histogram));
    else
        snprintf(text, HISTOGRAM_MS_SIZE, "%.*f",
                 ms < 9.9995   ? 3
                 : ms < 99.995 ? 2
                               : ms < 999.95,
                 ms);
    return text;
}
