/* SPDX-License-Identifier: MIT */
#include "server/journal/journal_stats.h"

#include "journal/data_file.h"

/* The buckets of a metric count what those before them count, too. */
static void fold_histogram(struct stats *stats, enum stats_counter first,
                           const uint64_t buckets[DATA_BUCKETS])
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < DATA_BUCKETS; i++) {
        sum += buckets[i];
        stats_set_total(stats, first + i, sum);
    }
}

void journal_stats_fold(struct stats *stats)
{
    const struct data_counts *counts = data_counts();
    _Static_assert((int)DATA_BUCKETS == (int)STATS_NUM_JOURNAL_BUCKETS, "see journal_bound_at()");
    stats_set_total(stats, STATS_JOURNAL_BYTES, counts->bytes_written);
    stats_set_total(stats, STATS_JOURNAL_FAILURES_FULL, counts->full);
    stats_set_total(stats, STATS_JOURNAL_FAILURES_IO, counts->failures);
    stats_set_total(stats, STATS_JOURNAL_COMMIT_NS, counts->commit_ns);
    stats_set_total(stats, STATS_JOURNAL_FSYNC_NS, counts->sync_ns);
    fold_histogram(stats, STATS_JOURNAL_COMMIT_BUCKETS, counts->commit_buckets);
    fold_histogram(stats, STATS_JOURNAL_FSYNC_BUCKETS, counts->sync_buckets);
}
