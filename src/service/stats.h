/* SPDX-License-Identifier: MIT */
/*
 * The server's counters, declared once: their names make the segment
 * NAME.stats and so what `shm-inspect stats` prints; an interceptor counts
 * calls under the names that go-grpc-prometheus made customary.
 */
#ifndef ROSTERD_SERVICE_STATS_H
#define ROSTERD_SERVICE_STATS_H

#include <stddef.h>
#include <stdint.h>

#include "grpc/grpc.h"

/* X(field of struct http2_counts, kind, name, what it counts) */
#define STATS_TRANSPORT(X)                                                                         \
    X(connections_accepted, COUNTER, "rosterd_connections_accepted_total", "connections")          \
    X(connections_open, GAUGE, "rosterd_connections_open", "connections that are open")            \
    X(streams_opened, COUNTER, "rosterd_streams_opened_total", "HTTP/2 streams")                   \
    X(streams_open, GAUGE, "rosterd_streams_open", "HTTP/2 streams that are open")                 \
    X(bytes_in, COUNTER, "rosterd_received_bytes_total", "bytes read from clients")                \
    X(bytes_out, COUNTER, "rosterd_sent_bytes_total", "bytes written to clients")                  \
    X(protocol_errors, COUNTER, "rosterd_protocol_errors_total",                                   \
      "connections that ended by a GOAWAY with an error")                                          \
    X(resets_in, COUNTER, "rosterd_resets_received_total", "RST_STREAM frames from clients")       \
    X(resets_out, COUNTER, "rosterd_resets_sent_total", "RST_STREAM frames to clients")

/** All names, in the order of a row. Once; the strings live as long as the program.
 * @return NULL when memory is exhausted or the descriptors are broken */
const char *const *stats_names(size_t *count);

/** What a worker shows of itself to its master, in memory that both share. */
struct stats_board {
    uint32_t calls;  /* in flight */
    uint32_t method; /* index of the last call that started; stats_method_name() */
    uint32_t slot;   /* of its actor */
};
/** "/userservice.UserService/GetUser", or "unknown" */
const char *stats_method_name(size_t index);

struct stats;
/**
 * Counts what `server` does into `row` from now on; its gauges start at zero.
 * Services must have been added before. @return NULL when memory is exhausted
 */
struct stats *stats_create(struct grpc_server *server, uint64_t *row, struct stats_board *board);
/** Takes over the transport's counts; cheap enough for each turn of the loop. */
void stats_fold(struct stats *stats);
/** After the server's end. Gauges go to zero. */
void stats_destroy(struct stats *stats);
/** Sets a row's gauges to zero, for one whose worker died. */
void stats_clear_gauges(uint64_t *row);

#endif
