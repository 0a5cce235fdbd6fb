/* SPDX-License-Identifier: MIT */
/*
 * The table of metrics. A metric is a row here and the line of code that counts it. All else
 * follows from the row: the names in the segment NAME.stats and with them `shm-inspect stats`,
 * the page /metrics with its HELP and TYPE lines, and what docs/metrics.md may say.
 *
 * Each process has a row of counters in NAME.stats (shm/counters.h): first one struct
 * stats_method_counts for each method, then one counter for each constant of enum stats_counter.
 *
 * How to add a counter of a process: a ROW() in STATS_PROCESS_ROWS, and
 * `stats_add(stats, STATS_THE_NEW_ONE, 1)` where it is counted. A counter of each method: a member
 * of struct stats_method_counts and a row of stats_method_metrics() in stats_table.c.
 */
#ifndef ROSTERD_SERVICE_OBSERVE_STATS_TABLE_H
#define ROSTERD_SERVICE_OBSERVE_STATS_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "grpc/grpc.h"

enum stats_kind {
    STATS_COUNTER,
    STATS_GAUGE,     /* falls, too; goes to zero when its process ends */
    STATS_HISTOGRAM, /* cumulative buckets, each a counter NAME_bucket */
    STATS_PART,      /* only in NAME.stats: /metrics shows it as a part of another metric */
};

/*
 * ROW(constant, kind, name, label, label's value, help). Rows of one name are neighbours; the
 * first one's help is shown. A row without a label has NULL, NULL.
 */

/* Counters of a process, in the order in which they lie in its row. */
#define STATS_PROCESS_ROWS(ROW)                                                                    \
    /* Counted by src/http2; stats_fold() copies them. */                                          \
    ROW(STATS_CONNECTIONS_ACCEPTED, STATS_COUNTER, "rosterd_connections_accepted_total", NULL,     \
        NULL, "Connections.")                                                                      \
    ROW(STATS_CONNECTIONS_OPEN, STATS_GAUGE, "rosterd_connections_open", NULL, NULL,               \
        "Connections that are open.")                                                              \
    ROW(STATS_STREAMS_OPENED, STATS_COUNTER, "rosterd_streams_opened_total", NULL, NULL,           \
        "HTTP/2 streams.")                                                                         \
    ROW(STATS_STREAMS_OPEN, STATS_GAUGE, "rosterd_streams_open", NULL, NULL,                       \
        "HTTP/2 streams that are open.")                                                           \
    ROW(STATS_BYTES_IN, STATS_COUNTER, "rosterd_received_bytes_total", NULL, NULL,                 \
        "Bytes read from clients.")                                                                \
    ROW(STATS_BYTES_OUT, STATS_COUNTER, "rosterd_sent_bytes_total", NULL, NULL,                    \
        "Bytes written to clients.")                                                               \
    ROW(STATS_PROTOCOL_ERRORS, STATS_COUNTER, "rosterd_protocol_errors_total", NULL, NULL,         \
        "Connections that ended by a GOAWAY with an error.")                                       \
    ROW(STATS_RESETS_IN, STATS_COUNTER, "rosterd_resets_received_total", NULL, NULL,               \
        "RST_STREAM frames from clients.")                                                         \
    ROW(STATS_RESETS_OUT, STATS_COUNTER, "rosterd_resets_sent_total", NULL, NULL,                  \
        "RST_STREAM frames to clients.")                                                           \
    ROW(STATS_TLS_FAILURES, STATS_COUNTER, "rosterd_tls_handshakes_failed_total", NULL, NULL,      \
        "TLS handshakes that failed.")                                                             \
    /* Counted by services: struct service_counts. */                                              \
    ROW(STATS_WATCHES, STATS_GAUGE, "rosterd_watches_open", NULL, NULL,                            \
        "Calls of WatchUsers that are open.")                                                      \
    ROW(STATS_WATCH_EVENTS, STATS_COUNTER, "rosterd_watch_events_total", NULL, NULL,               \
        "Changes of users that were sent to watches.")                                             \
    ROW(STATS_WATCHES_LOST, STATS_COUNTER, "rosterd_watches_lost_total", NULL, NULL,               \
        "Watches that ended because their client was too slow.")                                   \
    ROW(STATS_NO_ROOM_USERS, STATS_COUNTER, STATS_NO_ROOM_NAME, "room", "max_users",               \
        "Writes that were refused because there was no room.")                                     \
    ROW(STATS_NO_ROOM_SEGMENT, STATS_COUNTER, STATS_NO_ROOM_NAME, "room", "segment_size", NULL)    \
    ROW(STATS_NO_ROOM_MEMORY, STATS_COUNTER, STATS_NO_ROOM_NAME, "room", "memory", NULL)           \
    /* Log lines that a process lost. */                                                           \
    ROW(STATS_ACCESS_LOG_DROPPED, STATS_COUNTER, "rosterd_access_log_dropped_total", NULL, NULL,   \
        "Lines of the access log that were lost: its file was slow, full or gone.")                \
    ROW(STATS_LOG_DROPPED, STATS_COUNTER, "rosterd_log_dropped_total", NULL, NULL,                 \
        "Lines of the log that were lost: its file or pipe was slow, full or gone.")               \
    /* What has become of verifications, in the order of enum password_count. */                   \
    ROW(STATS_PASSWORDS_ACCEPTED, STATS_COUNTER, STATS_VERIFICATIONS_NAME, "outcome", "accepted",  \
        "Verifications of passwords, by how they ended.")                                          \
    ROW(STATS_PASSWORDS_REFUSED, STATS_COUNTER, STATS_VERIFICATIONS_NAME, "outcome", "refused",    \
        NULL)                                                                                      \
    ROW(STATS_PASSWORDS_LIMITED, STATS_COUNTER, STATS_VERIFICATIONS_NAME, "outcome", "limited",    \
        NULL)                                                                                      \
    ROW(STATS_PASSWORDS_BUSY, STATS_COUNTER, STATS_VERIFICATIONS_NAME, "outcome", "busy", NULL)    \
    ROW(STATS_PASSWORDS_FAILED, STATS_COUNTER, STATS_VERIFICATIONS_NAME, "outcome", "failed",      \
        NULL)                                                                                      \
    ROW(STATS_PASSWORDS_REPLACED, STATS_COUNTER, "rosterd_password_hashes_replaced_total", NULL,   \
        NULL, "Hashes that a login replaced by ones of the cost that is set.")                     \
    /* Counted by the journal. */                                                                  \
    ROW(STATS_JOURNAL_BYTES, STATS_COUNTER, "rosterd_journal_bytes_total", NULL, NULL,             \
        "Bytes written to the data file and its log.")                                             \
    ROW(STATS_JOURNAL_FAILURES_FULL, STATS_COUNTER, "rosterd_journal_failures_total", "kind",      \
        "full", "Writes of the data file that failed: the disk was full, or an error.")            \
    ROW(STATS_JOURNAL_FAILURES_IO, STATS_COUNTER, "rosterd_journal_failures_total", "kind", "io",  \
        NULL)                                                                                      \
    ROW(STATS_JOURNAL_COMMIT_NS, STATS_PART, "rosterd_journal_commit_nanoseconds_total", NULL,     \
        NULL, NULL)                                                                                \
    ROW(STATS_JOURNAL_FSYNC_NS, STATS_PART, "rosterd_journal_fsync_nanoseconds_total", NULL, NULL, \
        NULL)                                                                                      \
    /* Counted by the master. */                                                                   \
    ROW(STATS_WORKER_DEATHS, STATS_COUNTER, "rosterd_worker_deaths_total", NULL, NULL,             \
        "Workers that died and were replaced.")                                                    \
    ROW(STATS_JOURNAL_DEATHS, STATS_COUNTER, "rosterd_journal_deaths_total", NULL, NULL,           \
        "Journals that died and were replaced.")                                                   \
    ROW(STATS_PASSWORD_DEATHS, STATS_COUNTER, "rosterd_password_process_deaths_total", NULL, NULL, \
        "Processes for passwords that died and were replaced.")                                    \
    ROW(STATS_PASSWORD_REQUESTS, STATS_GAUGE, "rosterd_password_requests", NULL, NULL,             \
        "Passwords that wait to be hashed or verified, or are being so.")                          \
    ROW(STATS_JOURNAL_LAG, STATS_GAUGE, "rosterd_journal_lag_seconds", NULL, NULL,                 \
        "Seconds for which the oldest commit that is not in the data file has waited.")            \
    ROW(STATS_RELOADS, STATS_COUNTER, "rosterd_reloads_total", NULL, NULL,                         \
        "Reloads of the configuration that came into force.")                                      \
    ROW(STATS_RELOADS_FAILED, STATS_COUNTER, "rosterd_reloads_failed_total", NULL, NULL,           \
        "Reloads that were refused.")                                                              \
    ROW(STATS_UPGRADES_FAILED, STATS_COUNTER, "rosterd_upgrades_failed_total", NULL, NULL,         \
        "New programs that did not serve.")                                                        \
    ROW(STATS_NAMES_RESTORED, STATS_COUNTER, "rosterd_names_restored_total", NULL, NULL,           \
        "Names in /dev/shm that were removed and given back to the segment and its counters.")     \
    /* In the order of enum shm_bound. */                                                          \
    ROW(STATS_REFUSED_BY_USERS, STATS_GAUGE, STATS_REFUSED_NAME, "room", "max_users",              \
        "1 while users are refused because there is no room.")                                     \
    ROW(STATS_REFUSED_BY_SEGMENT, STATS_GAUGE, STATS_REFUSED_NAME, "room", "segment_size", NULL)   \
    ROW(STATS_REFUSED_BY_FILES, STATS_GAUGE, STATS_REFUSED_NAME, "room", "dev_shm", NULL)          \
    ROW(STATS_REFUSED_BY_MEMORY, STATS_GAUGE, STATS_REFUSED_NAME, "room", "memory_limit", NULL)    \
    /* Limits that a worker meets outside of src/http2. Those of http2/http2_limits.h follow       \
     * them, under the same name. */                                                               \
    ROW(STATS_LIMIT_MESSAGE_SIZE, STATS_COUNTER, STATS_LIMITS_HIT_NAME, "limit",                   \
        "max_message_size", "How often a limit was met, by its name.")                             \
    ROW(STATS_LIMIT_MESSAGE_TIME, STATS_COUNTER, STATS_LIMITS_HIT_NAME, "limit",                   \
        "message_timeout", NULL)                                                                   \
    ROW(STATS_LIMIT_CONNECTIONS, STATS_COUNTER, STATS_LIMITS_HIT_NAME, "limit", "max_connections", \
        NULL)                                                                                      \
    ROW(STATS_LIMIT_CONNECTIONS_OF_ADDRESS, STATS_COUNTER, STATS_LIMITS_HIT_NAME, "limit",         \
        "max_connections_per_address", NULL)

#define STATS_LIMITS_HIT_NAME    "rosterd_limits_hit_total"
#define STATS_VERIFICATIONS_NAME "rosterd_password_verifications_total"
#define STATS_NO_ROOM_NAME       "rosterd_room_refusals_total"
#define STATS_REFUSED_NAME       "rosterd_creates_refused"

/* Values that metrics_format() reads from the store when /metrics is rendered; not in NAME.stats.
 */
#define STATS_STORE_ROWS(ROW)                                                                      \
    ROW(STATS_USERS, STATS_GAUGE, "rosterd_users", NULL, NULL, "Users in the table.")              \
    ROW(STATS_USERS_MAX, STATS_GAUGE, "rosterd_users_max", NULL, NULL,                             \
        "Users that the table takes.")                                                             \
    ROW(STATS_USERS_FIT, STATS_GAUGE, "rosterd_users_fit", NULL, NULL,                             \
        "More users of the average size that fit.")                                                \
    ROW(STATS_SEGMENT_USED, STATS_GAUGE, "rosterd_segment_used_bytes", NULL, NULL,                 \
        "Bytes of the segment that hold users and indexes.")                                       \
    ROW(STATS_SEGMENT_MAPPED, STATS_GAUGE, "rosterd_segment_mapped_bytes", NULL, NULL,             \
        "Bytes that the segment has grown to.")                                                    \
    ROW(STATS_SEGMENT_MAX, STATS_GAUGE, "rosterd_segment_max_bytes", NULL, NULL,                   \
        "Bytes that it may grow to.")                                                              \
    ROW(STATS_FILES_FREE, STATS_GAUGE, "rosterd_segment_filesystem_free_bytes", NULL, NULL,        \
        "Bytes that are free in the file system of the segment.")                                  \
    ROW(STATS_FILES_SIZE, STATS_GAUGE, "rosterd_segment_filesystem_size_bytes", NULL, NULL,        \
        "Bytes of the file system of the segment.")                                                \
    ROW(STATS_MEMORY_LEFT, STATS_GAUGE, "rosterd_segment_memory_left_bytes", NULL, NULL,           \
        "Bytes that the memory limit of the control group leaves to the segment.")                 \
    ROW(STATS_SNAPSHOTS_HELD, STATS_GAUGE, "rosterd_snapshots_held_bytes", NULL, NULL,             \
        "Bytes of changed users that only listings keep.")                                         \
    ROW(STATS_SEGMENT_LINKED, STATS_GAUGE, "rosterd_segment_linked", NULL, NULL,                   \
        "1 while the segment's name in /dev/shm leads to it.")                                     \
    ROW(STATS_SEGMENT_REQUESTS, STATS_GAUGE, "rosterd_segment_requests", NULL, NULL,               \
        "Requests with a request_id that are remembered.")                                         \
    ROW(STATS_PROCESSES, STATS_GAUGE, "rosterd_processes", NULL, NULL,                             \
        "Processes that take part: master, workers, tools.")                                       \
    ROW(STATS_COMMITS, STATS_COUNTER, "rosterd_commits_total", NULL, NULL,                         \
        "Changes of the table.")                                                                   \
    ROW(STATS_JOURNAL_VERSION, STATS_GAUGE, "rosterd_journal_version", NULL, NULL,                 \
        "Changes of the table that are in the data file.")                                         \
    ROW(STATS_JOURNAL_LAG_COMMITS, STATS_GAUGE, "rosterd_journal_lag_commits", NULL, NULL,         \
        "Changes of the table that are not in the data file yet.")                                 \
    ROW(STATS_JOURNAL_STATE, STATS_GAUGE, "rosterd_journal_state", NULL, NULL,                     \
        "The data file: 0 none, 1 in use, 2 disk full, 3 being replaced, 4 failed, "               \
        "5 its process cannot start.")

/* Values of all processes together, which metrics_format() reads from /proc; not in NAME.stats.
 * Their names are those of Prometheus' client libraries. */
#define STATS_MACHINE_ROWS(ROW)                                                                    \
    ROW(STATS_CPU, STATS_COUNTER, "process_cpu_seconds_total", NULL, NULL,                         \
        "CPU time of all processes of the server, those that have ended included.")                \
    ROW(STATS_RESIDENT, STATS_GAUGE, "process_resident_memory_bytes", NULL, NULL,                  \
        "Memory of all processes of the server; what they share, such as the table, counts once.") \
    ROW(STATS_VIRTUAL, STATS_GAUGE, "process_virtual_memory_bytes", NULL, NULL,                    \
        "Address space of all processes of the server, added up; most of it is reserved only.")    \
    ROW(STATS_OPEN_FDS, STATS_GAUGE, "process_open_fds", NULL, NULL,                               \
        "Descriptors that the master, the workers and the journal have open.")                     \
    ROW(STATS_MAX_FDS, STATS_GAUGE, "process_max_fds", NULL, NULL,                                 \
        "Descriptors that these processes may have open, added up.")                               \
    ROW(STATS_START_TIME, STATS_GAUGE, "process_start_time_seconds", NULL, NULL,                   \
        "When the master started, in seconds since the epoch.")

enum { STATS_NUM_JOURNAL_BUCKETS = 20 };

#define STATS_CONSTANT(constant, ...) constant,
/** Places in the process's part of a row. */
enum stats_counter {
    STATS_PROCESS_ROWS(STATS_CONSTANT)
    /** The first of HTTP2_NUM_LIMITS, in the order of enum http2_limit. */
    STATS_HTTP2_LIMITS,
    /** The first of STATS_NUM_JOURNAL_BUCKETS of each histogram of the journal. */
    STATS_JOURNAL_COMMIT_BUCKETS = STATS_HTTP2_LIMITS + HTTP2_NUM_LIMITS,
    STATS_JOURNAL_FSYNC_BUCKETS = STATS_JOURNAL_COMMIT_BUCKETS + STATS_NUM_JOURNAL_BUCKETS,
    STATS_NUM_COUNTERS = STATS_JOURNAL_FSYNC_BUCKETS + STATS_NUM_JOURNAL_BUCKETS
};
enum stats_store_value { STATS_STORE_ROWS(STATS_CONSTANT) STATS_NUM_STORE_VALUES };
enum stats_machine_value { STATS_MACHINE_ROWS(STATS_CONSTANT) STATS_NUM_MACHINE_VALUES };
#undef STATS_CONSTANT

enum { STATS_NUM_BUCKETS = 20 };
/** Upper bounds of the histogram's buckets, ascending; the last one is UINT64_MAX, "+Inf". */
extern const struct stats_bucket {
    uint64_t ns;
    const char *seconds; /* the same, as /metrics shows it */
} stats_buckets[STATS_NUM_BUCKETS];

/** The counters of one method. stats_method_metrics[] has a row for each member. */
struct stats_method_counts {
    uint64_t started;
    uint64_t received, sent; /* messages */
    uint64_t nanoseconds;    /* the histogram's sum */
    uint64_t handled[GRPC_NUM_STATUSES];
    uint64_t buckets[STATS_NUM_BUCKETS]; /* each counts what the ones before it count, and more */
};

enum { STATS_PER_METHOD = sizeof(struct stats_method_counts) / sizeof(uint64_t) };

/** A row of the table, with `count` counters that lie side by side. */
struct stats_metric {
    const char *name, *help;
    enum stats_kind kind;
    size_t at;         /* the first counter's place in its part of a row */
    size_t count;      /* with value_at: one counter for each value of the label */
    size_t sum_at;     /* of a histogram of the process: where its sum in ns is */
    const char *label; /* NULL: none */
    const char *value; /* of the label */
    const char *(*value_at)(
        size_t place); /* of the label of counter at + place, if value is NULL */
};
static inline size_t stats_metric_places(const struct stats_metric *metric)
{
    return metric->value_at != NULL ? metric->count : 1;
}

/** The parts of the table, in the order of /metrics. `*count`: its rows. */
const struct stats_metric *stats_method_metrics(size_t *count);
const struct stats_metric *stats_process_metrics(size_t *count);
const struct stats_metric *stats_store_metrics(size_t *count);
const struct stats_metric *stats_machine_metrics(size_t *count);

/**
 * Makes the names of all counters, which depend on the methods. Called once per program, by the
 * master before it forks, and before any other function below.
 * @return false: memory is exhausted, or the descriptors lack a method
 */
bool stats_init(const struct grpc_service *const *services, size_t num_services);
/** The names of a row's counters in their order, labels included, for shm_counters_open(). They
 * live as long as the program. */
const char *const *stats_names(size_t *count);
/** Where the process's part of a row begins: behind the methods'. */
size_t stats_process_at(void);
/** Methods of all services, and one more, the last, for all calls of unknown methods. */
size_t stats_num_methods(void);
/** "/userservice.UserService/GetUser", or "unknown", also for an index out of range. */
const char *stats_method_name(size_t method);
/** `grpc_type="unary",grpc_service=...`: the labels of all metrics of a method. */
const char *stats_method_labels(size_t method);
/** The place of a method. A method that does not exist gets the last place, which is for calls of
 * unknown methods. */
size_t stats_find_method(const char *service, const char *method);

#endif
