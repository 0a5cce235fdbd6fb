/* SPDX-License-Identifier: MIT */
#include "service/observe/metrics.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/observe/processes.h"
#include "service/observe/stats_table.h"
#include "shm/disk.h"
#include "shm/headroom.h"

static const char *build_labels; /* NULL: metrics_begin() was not called */

void metrics_begin(const char *labels)
{
    build_labels = labels;
    processes_begin();
}

/* The sums over all rows, and their names, in the order of a row. */
struct sums {
    const char *const *names;
    uint64_t *values;
    size_t count;
};

static void print_head(FILE *out, const struct stats_metric *metric)
{
    static const char *const types[] = {
        [STATS_COUNTER] = "counter", [STATS_GAUGE] = "gauge", [STATS_HISTOGRAM] = "histogram"};
    fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", metric->name, metric->help, metric->name,
            types[metric->kind]);
}

/* The counters of a metric whose part of the row begins at `part`. */
static void print_counters(FILE *out, const struct stats_metric *metric, const struct sums *sums,
                           size_t part)
{
    size_t places = stats_metric_places(metric);
    for (size_t at = part + metric->at; at < part + metric->at + places; at++)
        fprintf(out, "%s %" PRIu64 "\n", sums->names[at], sums->values[at]);
}

static void print_method_metrics(FILE *out, const struct sums *sums)
{
    size_t count;
    const struct stats_metric *metrics = stats_method_metrics(&count);
    for (size_t i = 0; i < count; i++) {
        if (metrics[i].kind != STATS_COUNTER)
            continue;
        print_head(out, &metrics[i]);
        for (size_t m = 0; m < stats_num_methods(); m++)
            print_counters(out, &metrics[i], sums, m * STATS_PER_METHOD);
    }
}

/* What a histogram of the process has besides its buckets. */
static void print_process_sum(FILE *out, const struct stats_metric *metric, const uint64_t *values)
{
    uint64_t ns = values[metric->sum_at];
    fprintf(out, "%s_sum %" PRIu64 ".%09" PRIu64 "\n%s_count %" PRIu64 "\n", metric->name,
            ns / 1000000000, ns % 1000000000, metric->name, values[metric->at + metric->count - 1]);
}

static void print_process_metrics(FILE *out, const struct sums *sums)
{
    size_t count;
    const struct stats_metric *metrics = stats_process_metrics(&count);
    for (size_t i = 0; i < count; i++) {
        if (metrics[i].kind == STATS_PART)
            continue;
        if (i == 0 || strcmp(metrics[i].name, metrics[i - 1].name) != 0)
            print_head(out, &metrics[i]);
        print_counters(out, &metrics[i], sums, stats_process_at());
        if (metrics[i].kind == STATS_HISTOGRAM)
            print_process_sum(out, &metrics[i], sums->values + stats_process_at());
    }
}

static void print_histograms(FILE *out, const struct sums *sums)
{
    size_t count;
    const struct stats_metric *metrics = stats_method_metrics(&count);
    for (size_t i = 0; i < count; i++) {
        if (metrics[i].kind != STATS_HISTOGRAM)
            continue;
        print_head(out, &metrics[i]);
        for (size_t m = 0; m < stats_num_methods(); m++) {
            const char *name = metrics[i].name, *labels = stats_method_labels(m);
            const struct stats_method_counts *method =
                (const struct stats_method_counts *)(sums->values + m * STATS_PER_METHOD);
            print_counters(out, &metrics[i], sums, m * STATS_PER_METHOD);
            fprintf(out, "%s_sum{%s} %" PRIu64 ".%09" PRIu64 "\n", name, labels,
                    method->nanoseconds / 1000000000, method->nanoseconds % 1000000000);
            fprintf(out, "%s_count{%s} %" PRIu64 "\n", name, labels,
                    method->buckets[STATS_NUM_BUCKETS - 1]);
        }
    }
}

static void print_store_metrics(FILE *out, struct shm_store *store)
{
    struct shm_info info;
    struct shm_disk_info disk;
    struct shm_headroom headroom;
    shm_store_info(store, &info);
    shm_headroom(store, &info, &headroom);
    shm_disk_info(store, &disk);
    bool has_disk = disk.state != SHM_DISK_NONE;
    const uint64_t values[STATS_NUM_STORE_VALUES] = {
        [STATS_USERS] = info.users,
        [STATS_USERS_MAX] = info.max_users,
        [STATS_USERS_FIT] = headroom.users,
        [STATS_SEGMENT_USED] = info.bytes_used,
        [STATS_SEGMENT_MAPPED] = info.bytes_mapped,
        [STATS_SEGMENT_MAX] = info.bytes_reserved,
        [STATS_FILES_FREE] = headroom.files_free,
        [STATS_FILES_SIZE] = headroom.files_size,
        [STATS_MEMORY_LEFT] = headroom.memory_left,
        [STATS_SNAPSHOTS_HELD] = info.held_bytes,
        [STATS_SEGMENT_LINKED] = !info.replaced,
        [STATS_SEGMENT_REQUESTS] = info.requests,
        [STATS_PROCESSES] = info.actors,
        [STATS_COMMITS] = info.version,
        [STATS_JOURNAL_VERSION] = has_disk ? disk.version : 0,
        [STATS_JOURNAL_LAG_COMMITS] =
            has_disk && info.version > disk.version ? info.version - disk.version : 0,
        [STATS_JOURNAL_STATE] = disk.state,
    };
    size_t count;
    const struct stats_metric *metrics = stats_store_metrics(&count);
    for (size_t i = 0; i < count; i++) {
        uint64_t value = values[metrics[i].at];
        print_head(out, &metrics[i]);
        if (value != UINT64_MAX)
            fprintf(out, "%s %" PRIu64 "\n", metrics[i].name, value);
        else /* there is no bound */
            fprintf(out, "%s +Inf\n", metrics[i].name);
    }
}

/* ---- the processes and the program ---- */

enum { TICKS_PER_SECOND = 100 };

static void print_machine_metrics(FILE *out, const struct processes *processes)
{
    const double values[STATS_NUM_MACHINE_VALUES] = {
        [STATS_CPU] = (double)processes->cpu_ticks / TICKS_PER_SECOND,
        [STATS_RESIDENT] = (double)processes->resident,
        [STATS_VIRTUAL] = (double)processes->virtual_bytes,
        [STATS_OPEN_FDS] = (double)processes->open_fds,
        [STATS_MAX_FDS] = (double)processes->max_fds,
        [STATS_START_TIME] = processes_started_at(),
    };
    size_t count;
    const struct stats_metric *metrics = stats_machine_metrics(&count);
    for (size_t i = 0; i < count; i++) {
        print_head(out, &metrics[i]);
        fprintf(out, "%s %.15g\n", metrics[i].name, values[metrics[i].at]);
    }
}

static void print_each_process(FILE *out, const struct processes *processes)
{
    static const struct stats_metric cpu = {
        .name = "rosterd_process_cpu_seconds_total",
        .help = "CPU time of a process: the master, a worker, the journal.",
        .kind = STATS_COUNTER};
    static const struct stats_metric memory = {
        .name = "rosterd_process_memory_bytes",
        .help = "Memory of a process without what it shares, such as the table.",
        .kind = STATS_GAUGE};
    print_head(out, &cpu);
    for (size_t i = 0; i < processes->count; i++)
        fprintf(out, "%s{process=\"%s\"} %.15g\n", cpu.name, processes->all[i].name,
                (double)processes->all[i].cpu_ticks / TICKS_PER_SECOND);
    print_head(out, &memory);
    for (size_t i = 0; i < processes->count; i++)
        fprintf(out, "%s{process=\"%s\"} %" PRIu64 "\n", memory.name, processes->all[i].name,
                processes->all[i].memory);
}

static void print_build(FILE *out)
{
    static const struct stats_metric build = {
        .name = "rosterd_build_info",
        .help = "1, with the version, the commit and the libraries of the program as labels.",
        .kind = STATS_GAUGE};
    print_head(out, &build);
    fprintf(out, "%s{%s} 1\n", build.name, build_labels);
}

static void print_program(FILE *out)
{
    static struct processes processes; /* 60 KiB */
    if (build_labels == NULL)
        return;
    processes_read(&processes);
    if (processes.count != 0) { /* else /proc could not be read: a 0 would be taken for a restart */
        print_machine_metrics(out, &processes);
        print_each_process(out, &processes);
    }
    print_build(out);
}

char *metrics_format(const struct shm_counters *counters, struct shm_store *store, size_t *len)
{
    struct sums sums;
    sums.names = stats_names(&sums.count);
    assert(shm_counters_count(counters) == sums.count);
    sums.values = calloc(sums.count, sizeof(*sums.values));
    char *text = NULL;
    FILE *out = sums.values == NULL ? NULL : open_memstream(&text, len);
    if (out == NULL) {
        free(sums.values);
        return NULL;
    }
    shm_counters_sum_all(counters, sums.values);
    print_method_metrics(out, &sums);
    print_process_metrics(out, &sums);
    print_histograms(out, &sums);
    print_store_metrics(out, store);
    print_program(out);
    free(sums.values);
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}
