/* SPDX-License-Identifier: MIT */
/*
 * The server's counters, declared once: their names make the segment
 * NAME.stats and so what `shm-inspect stats` prints; an interceptor counts
 * calls under the names that go-grpc-prometheus made customary.
 */
#ifndef ROSTERD_SERVICE_OBSERVE_STATS_H
#define ROSTERD_SERVICE_OBSERVE_STATS_H

#include <stddef.h>
#include <stdint.h>

#include "grpc/grpc.h"

/* X(field of struct http2_counts, kind, name, what it counts) */
#define STATS_TRANSPORT(X)                                                                         \
    X(connections_accepted, COUNTER, "rosterd_connections_accepted_total", "Connections.")         \
    X(connections_open, GAUGE, "rosterd_connections_open", "Connections that are open.")           \
    X(streams_opened, COUNTER, "rosterd_streams_opened_total", "HTTP/2 streams.")                  \
    X(streams_open, GAUGE, "rosterd_streams_open", "HTTP/2 streams that are open.")                \
    X(bytes_in, COUNTER, "rosterd_received_bytes_total", "Bytes read from clients.")               \
    X(bytes_out, COUNTER, "rosterd_sent_bytes_total", "Bytes written to clients.")                 \
    X(protocol_errors, COUNTER, "rosterd_protocol_errors_total",                                   \
      "Connections that ended by a GOAWAY with an error.")                                         \
    X(resets_in, COUNTER, "rosterd_resets_received_total", "RST_STREAM frames from clients.")      \
    X(resets_out, COUNTER, "rosterd_resets_sent_total", "RST_STREAM frames to clients.")           \
    X(tls_failures, COUNTER, "rosterd_tls_handshakes_failed_total", "TLS handshakes that failed.")

/* X(field of struct stats_own, kind, name, what it counts): the server's own, told each turn */
#define STATS_OWN(X)                                                                               \
    X(access_log_dropped, COUNTER, "rosterd_access_log_dropped_total",                             \
      "Lines of the access log that were lost: its file was slow, full or gone.")                  \
    X(log_dropped, COUNTER, "rosterd_log_dropped_total",                                           \
      "Lines of the log that were lost: its file or pipe was slow, full or gone.")

/* X(event, name, what it counts): the master's, told one by one */
#define STATS_EVENTS(X)                                                                            \
    X(WORKER_DEATHS, "rosterd_worker_deaths_total", "Workers that died and were replaced.")        \
    X(RELOADS, "rosterd_reloads_total", "Reloads of the configuration that came into force.")      \
    X(RELOADS_FAILED, "rosterd_reloads_failed_total", "Reloads that were refused.")                \
    X(UPGRADES_FAILED, "rosterd_upgrades_failed_total", "New programs that did not serve.")        \
    X(NAMES_RESTORED, "rosterd_names_restored_total",                                              \
      "Names in /dev/shm that were removed and given back to the segment and its counters.")

enum stats_event {
#define X(event, name, text) STATS_##event,
    STATS_EVENTS(X)
#undef X
};

/* X(field of struct stats_own, its label among the limits) */
#define STATS_OWN_LIMITS(X)                                                                        \
    X(message_size, "max_message_size")                                                            \
    X(message_time, "message_timeout")                                                             \
    X(connections, "max_connections")                                                              \
    X(connections_of_address, "max_connections_per_address")

struct stats_own {
#define X(field, kind, name, text) uint64_t field;
    STATS_OWN(X)
#undef X
#define X(field, label) uint64_t field;
    STATS_OWN_LIMITS(X)
#undef X
};

/* X(id, name, what it counts): for each method */
#define STATS_METHOD(X)                                                                            \
    X(STARTED, "grpc_server_started_total", "Calls that began.")                                   \
    X(RECEIVED, "grpc_server_msg_received_total", "Messages from clients.")                        \
    X(SENT, "grpc_server_msg_sent_total", "Messages to clients.")

/* X(upper bound in ns, the same in seconds): each bucket holds what the ones before it hold. */
#define STATS_BUCKETS(X)                                                                           \
    X(10000, "1e-05")                                                                              \
    X(25000, "2.5e-05")                                                                            \
    X(50000, "5e-05")                                                                              \
    X(100000, "0.0001")                                                                            \
    X(250000, "0.00025")                                                                           \
    X(500000, "0.0005")                                                                            \
    X(1000000, "0.001")                                                                            \
    X(2500000, "0.0025")                                                                           \
    X(5000000, "0.005")                                                                            \
    X(10000000, "0.01")                                                                            \
    X(25000000, "0.025")                                                                           \
    X(50000000, "0.05")                                                                            \
    X(100000000, "0.1")                                                                            \
    X(250000000, "0.25")                                                                           \
    X(500000000, "0.5")                                                                            \
    X(1000000000, "1")                                                                             \
    X(2500000000, "2.5")                                                                           \
    X(5000000000, "5")                                                                             \
    X(10000000000, "10")                                                                           \
    X(UINT64_MAX, "+Inf")

#define STATS_HANDLED   "grpc_server_handled_total"
#define STATS_HISTOGRAM "grpc_server_handling_seconds"
#define STATS_LIMITS    "rosterd_limits_hit_total"
/* the histogram's sum, which Prometheus wants in seconds: counters are whole numbers */
#define STATS_NANOSECONDS "rosterd_handling_nanoseconds_total"

/** All names, in the order of a row. Once; the strings live as long as the program.
 * @return NULL when memory is exhausted or the descriptors are broken */
const char *const *stats_names(size_t *count);

/** What the names before their labels mean. */
struct stats_family {
    const char *name, *help;
    bool gauge;
};
/** But for STATS_HISTOGRAM and STATS_NANOSECONDS, its sum. In an order that stays. */
const struct stats_family *stats_families(size_t *count);

/** What a worker shows of itself to its master, in memory that both share. */
struct stats_board {
    uint32_t calls;  /* in flight */
    uint32_t method; /* index of the last call that started; stats_method_name() */
    uint32_t slot;   /* of its actor */
    uint32_t turns;  /* of its loop, which it takes about each second at least */
};
/** "/userservice.UserService/GetUser", or "unknown" */
const char *stats_method_name(size_t index);

struct stats;
/**
 * Counts what `server` does into `row` once stats_step() is in its chain; the row's gauges start at
 * zero. Services must have been added before. @return NULL when memory is exhausted
 */
struct stats *stats_create(struct grpc_server *server, uint64_t *row, struct stats_board *board);
/** Takes over the transport's counts, and the server's own; cheap enough for each turn of the
 * loop. */
void stats_fold(struct stats *stats, const struct stats_own *own);
/** After the server's end. Gauges go to zero. */
void stats_destroy(struct stats *stats);
/** In the master's row. */
void stats_count(uint64_t *row, enum stats_event event);
/** Lines that the master's log has lost, since the last call. */
void stats_count_log_dropped(uint64_t *row, uint64_t lines);
/** Sets a row's gauges to zero, for one whose worker died. */
void stats_clear_gauges(uint64_t *row);

#endif
