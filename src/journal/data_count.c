/* SPDX-License-Identifier: MIT */
#include "journal/data_count.h"

#define US(number) ((uint64_t)(number)*1000)
#define MS(number) ((uint64_t)(number)*1000000)

const uint64_t data_counts_bounds_ns[DATA_BUCKETS - 1] = {
    US(50),   US(100),  US(200),   US(500),   MS(1),     MS(2),   MS(5),
    MS(10),   MS(20),   MS(50),    MS(100),   MS(200),   MS(500), MS(1000),
    MS(2000), MS(5000), MS(10000), MS(20000), MS(50000),
};

static struct data_counts counts;

const struct data_counts *data_counts(void)
{
    return &counts;
}

static void add_to_bucket(uint64_t buckets[DATA_BUCKETS], uint64_t ns)
{
    unsigned i = 0;
    while (i < DATA_BUCKETS - 1 && ns > data_counts_bounds_ns[i])
        i++;
    buckets[i]++;
}

void data_count_bytes(uint64_t bytes)
{
    counts.bytes_written += bytes;
}

void data_count_sync(uint64_t ns)
{
    counts.syncs++;
    counts.sync_ns += ns;
    add_to_bucket(counts.sync_buckets, ns);
}

void data_count_commit(uint64_t ns)
{
    counts.commits++;
    counts.commit_ns += ns;
    add_to_bucket(counts.commit_buckets, ns);
}

enum data_result data_count_result(enum data_result result)
{
    if (result == DATA_FULL)
        counts.full++;
    else if (result == DATA_FAILED)
        counts.failures++;
    return result;
}
