/* SPDX-License-Identifier: MIT */
/*
 * What one peer may take from a worker: each bound with its reason. What an
 * operator may want to change is in struct http2_settings instead.
 *
 * A bound that is met is counted by its name in http2_counts.limit_hits.
 */
#ifndef ROSTERD_HTTP2_LIMITS_H
#define ROSTERD_HTTP2_LIMITS_H

/* X(name, label in metrics): what a peer has met. Those of the options are among them. */
#define HTTP2_LIMITS(X)                                                                            \
    X(CONCURRENT_STREAMS, "max_concurrent_streams")                                                \
    X(HEADER_LIST, "max_header_size")                                                              \
    X(HEADER_BLOCK, "header_block")                                                                \
    X(HEADER_TIME, "header_time")                                                                  \
    X(HANDSHAKE_TIME, "handshake_timeout")                                                         \
    X(CONNECTION_MEMORY, "connection_memory")                                                      \
    X(PENDING_OUTPUT, "pending_output")                                                            \
    X(RESETS, "resets")                                                                            \
    X(PINGS, "pings")                                                                              \
    X(SETTINGS, "settings")                                                                        \
    X(EMPTY_FRAMES, "empty_frames")                                                                \
    X(WINDOW_UPDATES, "window_updates")                                                            \
    X(OTHER_FRAMES, "other_frames")                                                                \
    X(AGE, "max_connection_age")                                                                   \
    X(IDLE, "max_connection_idle")                                                                 \
    X(KEEPALIVE, "keepalive_timeout")

enum http2_limit {
#define X(name, label) HTTP2_LIMIT_##name,
    HTTP2_LIMITS(X)
#undef X
        HTTP2_NUM_LIMITS
};

#endif
