/* SPDX-License-Identifier: MIT */
#include "service/observe/stats.h"

#include <stdlib.h>
#include <string.h>

#include "service/core/chain.h"

struct stats {
    struct grpc_server *server;          /* NULL: the process has none */
    struct stats_method_counts *methods; /* the row's first part */
    uint64_t *process;                   /* the row's second part, by enum stats_counter */
    struct stats_board *board;
    uint64_t totals[STATS_NUM_COUNTERS]; /* the values of the last stats_set_total() */
    uint32_t method_of[];                /* the server's method index -> the index in `methods` */
};

void stats_clear_gauges(uint64_t *row)
{
    size_t count;
    const struct stats_metric *metrics = stats_process_metrics(&count);
    uint64_t *process = row + stats_process_at();
    for (size_t i = 0; i < count; i++)
        if (metrics[i].kind == STATS_GAUGE)
            __atomic_store_n(&process[metrics[i].at], 0, __ATOMIC_RELAXED);
}

/* @param num_methods of the server */
static struct stats *stats_create_sized(uint64_t *row, size_t num_methods)
{
    struct stats *stats = calloc(1, sizeof(*stats) + num_methods * sizeof(stats->method_of[0]));
    if (stats == NULL)
        return NULL;
    stats->methods = (struct stats_method_counts *)row;
    stats->process = row + stats_process_at();
    stats_clear_gauges(row);
    return stats;
}

struct stats *stats_create(uint64_t *row)
{
    return stats_create_sized(row, 0);
}

struct stats *stats_create_for_server(struct grpc_server *server, uint64_t *row,
                                      struct stats_board *board)
{
    size_t count = grpc_server_method_count(server);
    struct stats *stats = stats_create_sized(row, count);
    if (stats == NULL)
        return NULL;
    stats->server = server;
    stats->board = board;
    for (size_t i = 0; i + 1 < count; i++)
        stats->method_of[i] = (uint32_t)stats_find_method(grpc_server_method_service(server, i),
                                                          grpc_server_method_name(server, i));
    stats->method_of[count - 1] = (uint32_t)stats_num_methods() - 1; /* unknown methods */
    return stats;
}

void stats_destroy(struct stats *stats)
{
    if (stats == NULL)
        return;
    stats_clear_gauges((uint64_t *)stats->methods);
    free(stats);
}

void stats_abandon(struct stats *stats)
{
    free(stats);
}

void stats_add(struct stats *stats, enum stats_counter counter, uint64_t n)
{
    shm_counter_add(&stats->process[counter], n);
}

/* ---- totals of other modules ---- */

static inline void set_total(struct stats *stats, enum stats_counter counter, uint64_t total)
{
    if (total == stats->totals[counter])
        return;
    /* The row continues the counts of the process that owned it before. If a gauge falls, the
     * difference wraps, and the sum wraps back. */
    shm_counter_add(&stats->process[counter], total - stats->totals[counter]);
    stats->totals[counter] = total;
}

void stats_set_total(struct stats *stats, enum stats_counter counter, uint64_t total)
{
    set_total(stats, counter, total);
}

void stats_fold(struct stats *stats)
{
    const struct http2_counts *now = http2_context_counts(grpc_server_http2(stats->server));
    set_total(stats, STATS_CONNECTIONS_ACCEPTED, now->connections_accepted);
    set_total(stats, STATS_CONNECTIONS_OPEN, now->connections_open);
    set_total(stats, STATS_STREAMS_OPENED, now->streams_opened);
    set_total(stats, STATS_STREAMS_OPEN, now->streams_open);
    set_total(stats, STATS_BYTES_IN, now->bytes_in);
    set_total(stats, STATS_BYTES_OUT, now->bytes_out);
    set_total(stats, STATS_PROTOCOL_ERRORS, now->protocol_errors);
    set_total(stats, STATS_RESETS_IN, now->resets_in);
    set_total(stats, STATS_RESETS_OUT, now->resets_out);
    set_total(stats, STATS_TLS_FAILURES, now->tls_failures);
    if (memcmp(now->limit_hits, &stats->totals[STATS_HTTP2_LIMITS], sizeof(now->limit_hits)) != 0)
        for (unsigned i = 0; i < HTTP2_NUM_LIMITS; i++)
            set_total(stats, STATS_HTTP2_LIMITS + i, now->limit_hits[i]);
}

/* ---- refusals ---- */

_Static_assert(STATS_REFUSED_BY_MEMORY - STATS_REFUSED_BY_USERS == SHM_NUM_BOUNDS - 1,
               "the rows are in the order of enum shm_bound");

bool stats_find_refusal(const struct shm_counters *counters, enum shm_bound *bound)
{
    for (unsigned i = 0; i < SHM_NUM_BOUNDS; i++)
        if (shm_counters_sum(counters, stats_process_at() + STATS_REFUSED_BY_USERS + i) != 0) {
            *bound = (enum shm_bound)i;
            return true;
        }
    return false;
}

/* ---- the interceptor ---- */

static enum grpc_status stats_on_start(struct grpc_call *call, void *data, const char **message)
{
    (void)message;
    struct stats *stats = data;
    uint32_t method = stats->method_of[grpc_call_method_index(call)];
    shm_counter_add(&stats->methods[method].started, 1);
    __atomic_store_n(&stats->board->calls, stats->board->calls + 1, __ATOMIC_RELAXED);
    __atomic_store_n(&stats->board->method, method, __ATOMIC_RELAXED);
    return GRPC_OK;
}

/* Adds one to each bucket from the first whose bound holds `ns` to the last. That is one
 * instruction a bucket, and not a loop of relaxed loads and stores, which compilers do not fuse:
 * the loop was half of what it costs to count a call. Readers see no torn values, for the words are
 * aligned. */
static void count_duration(uint64_t *buckets, uint64_t ns)
{
    size_t first = 0;
    while (ns > stats_buckets[first].ns)
        first++;
    _Static_assert(STATS_NUM_BUCKETS == 20, "a case for each bucket but the last");
    switch (first) {
#define BUCKET(n)                                                                                  \
    case n:                                                                                        \
        buckets[n]++;                                                                              \
        __attribute__((fallthrough));
        BUCKET(0)
        BUCKET(1)
        BUCKET(2)
        BUCKET(3)
        BUCKET(4)
        BUCKET(5)
        BUCKET(6)
        BUCKET(7)
        BUCKET(8)
        BUCKET(9)
        BUCKET(10)
        BUCKET(11)
        BUCKET(12)
        BUCKET(13)
        BUCKET(14)
        BUCKET(15)
        BUCKET(16)
        BUCKET(17)
        BUCKET(18)
#undef BUCKET
    default:
        buckets[STATS_NUM_BUCKETS - 1]++;
    }
}

static void stats_on_end(struct grpc_call *call, void *data, enum grpc_status status)
{
    struct stats *stats = data;
    struct stats_method_counts *counts =
        &stats->methods[stats->method_of[grpc_call_method_index(call)]];
    uint64_t ns = grpc_call_duration_ns(call);
    shm_counter_add(&counts->handled[status], 1);
    shm_counter_add(&counts->received, grpc_call_messages_in(call));
    shm_counter_add(&counts->sent, grpc_call_messages_out(call));
    shm_counter_add(&counts->nanoseconds, ns);
    count_duration(counts->buckets, ns);
    __atomic_store_n(&stats->board->calls, stats->board->calls - 1, __ATOMIC_RELAXED);
}

void stats_step(struct grpc_interceptor *step, const struct chain_config *config)
{
    if (config->stats != NULL)
        *step = (struct grpc_interceptor){
            .start = stats_on_start, .end = stats_on_end, .data = config->stats};
}
