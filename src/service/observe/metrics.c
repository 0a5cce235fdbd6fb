/* SPDX-License-Identifier: MIT */
#include "service/observe/metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/observe/stats.h"

static void describe(FILE *out, const char *name, const char *type, const char *help)
{
    fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* "name" or "name{...": the labels, empty where there are none; NULL: another family's. */
static const char *labels_of(const char *name, const char *family, size_t len)
{
    if (strncmp(name, family, len) != 0 || (name[len] != '{' && name[len] != '\0'))
        return NULL;
    return name + len;
}

static void print_families(FILE *out, const char *const *names, const uint64_t *sums, size_t count)
{
    size_t num_families;
    const struct stats_family *families = stats_families(&num_families);
    for (size_t f = 0; f < num_families; f++) {
        size_t len = strlen(families[f].name);
        describe(out, families[f].name, families[f].gauge ? "gauge" : "counter", families[f].help);
        for (size_t i = 0; i < count; i++)
            if (labels_of(names[i], families[f].name, len) != NULL)
                fprintf(out, "%s %" PRIu64 "\n", names[i], sums[i]);
    }
}

/* The value of the same labels in another family. */
static uint64_t value_of(const char *family, const char *labels, size_t labels_len,
                         const char *const *names, const uint64_t *sums, size_t count)
{
    size_t len = strlen(family);
    for (size_t i = 0; i < count; i++) {
        const char *other = labels_of(names[i], family, len);
        if (other != NULL && strncmp(other, labels, labels_len) == 0)
            return sums[i];
    }
    return 0;
}

/* Each method's buckets stand in a row, the last without a bound: that is the count. */
static void print_histogram(FILE *out, const char *const *names, const uint64_t *sums, size_t count)
{
    static const char bucket[] = STATS_HISTOGRAM "_bucket", last[] = ",le=\"+Inf\"}";
    describe(out, STATS_HISTOGRAM, "histogram", "Time that calls took, in seconds.");
    for (size_t i = 0; i < count; i++) {
        const char *labels = labels_of(names[i], bucket, sizeof(bucket) - 1);
        if (labels == NULL)
            continue;
        fprintf(out, "%s %" PRIu64 "\n", names[i], sums[i]);
        size_t len = strlen(labels);
        if (len < sizeof(last) - 1 || strcmp(labels + len - (sizeof(last) - 1), last) != 0)
            continue;
        int shared = (int)(len - (sizeof(last) - 1)); /* "{grpc_type=..." up to the bound */
        uint64_t ns = value_of(STATS_NANOSECONDS, labels, (size_t)shared, names, sums, count);
        fprintf(out, "%s_sum%.*s} %" PRIu64 ".%09" PRIu64 "\n", STATS_HISTOGRAM, shared, labels,
                ns / 1000000000, ns % 1000000000);
        fprintf(out, "%s_count%.*s} %" PRIu64 "\n", STATS_HISTOGRAM, shared, labels, sums[i]);
    }
}

static void print_store(FILE *out, struct shm_store *store)
{
    struct shm_info info;
    shm_store_info(store, &info);
    const struct {
        const char *name, *help;
        uint64_t value;
    } gauges[] = {
        {"rosterd_users", "Users in the table.", info.users},
        {"rosterd_users_max", "Users that the table takes.", info.max_users},
        {"rosterd_segment_used_bytes", "Bytes of the segment that hold users and indexes.",
         info.bytes_used},
        {"rosterd_segment_mapped_bytes", "Bytes that the segment has grown to.", info.bytes_mapped},
        {"rosterd_segment_max_bytes", "Bytes that it may grow to.", info.bytes_reserved},
        {"rosterd_snapshots_held_bytes", "Bytes of changed users that only listings keep.",
         info.held_bytes},
        {"rosterd_segment_linked", "1 while the segment's name in /dev/shm leads to it.",
         !info.replaced},
        {"rosterd_processes", "Processes that take part: master, workers, tools.", info.actors},
    };
    for (size_t i = 0; i < sizeof(gauges) / sizeof(gauges[0]); i++) {
        describe(out, gauges[i].name, "gauge", gauges[i].help);
        fprintf(out, "%s %" PRIu64 "\n", gauges[i].name, gauges[i].value);
    }
    describe(out, "rosterd_commits_total", "counter", "Changes of the table.");
    fprintf(out, "rosterd_commits_total %" PRIu64 "\n", info.version);
}

char *metrics_format(const struct shm_counters *counters, struct shm_store *store, size_t *len)
{
    size_t count;
    const char *const *names = stats_names(&count);
    uint64_t *sums = calloc(count, sizeof(*sums));
    char *text = NULL;
    FILE *out = sums == NULL ? NULL : open_memstream(&text, len);
    if (out == NULL) {
        free(sums);
        return NULL;
    }
    shm_counters_sum_all(counters, sums);
    print_families(out, names, sums, count);
    print_histogram(out, names, sums, count);
    print_store(out, store);
    free(sums);
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}
