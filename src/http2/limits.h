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
    X(PENDING_OUTPUT, "pending_output")                                                            \
    X(MEMORY, "max_connection_memory")                                                             \
    X(TURN, "turn")                                                                                \
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

enum {
    /* ---- memory of a connection: its windows, output, header block and streams ---- */

    /* Receive windows. A stream's bounds what one stalled handler keeps in memory, the
     * connection's what all of them do; both are announced. */
    HTTP2_STREAM_WINDOW = 256 * 1024,
    HTTP2_CONN_WINDOW = 1024 * 1024,
    /* Unsent output beyond this stops the reading of the connection: whoever asks for more than
     * it reads is not listened to. */
    HTTP2_OUT_MAX = 512 * 1024,
    /* Output that the kernel takes and has not sent (TCP_NOTSENT_LOWAT): without it a peer that
     * reads nothing has megabytes of the kernel's memory. */
    HTTP2_UNSENT_MAX = 128 * 1024,
    /* A compressed header block beyond this, or twice max_header_list_size where that is more,
     * ends the connection as it arrives: a smaller one is decoded for the table's sake, and
     * told as a status. */
    HTTP2_BLOCK_MAX = 64 * 1024,
    /* Fields of a block that are decoded one by one, beside those that max_header_list_size has
     * room for: at 85 ns for the dearest, which enter the table, 1.4 ms. */
    HTTP2_FIELDS_BESIDE = 16 * 1024,

    /* ---- time ---- */

    /* For the rest of a frame, or of a header block over CONTINUATION: 16 KiB come in time at
     * 5 kbit/s, and a slow loris does not stay. */
    HTTP2_FRAME_TIME_MS = 30 * 1000,
    /* How long a failed connection's input is drained, so that its GOAWAY is
     * not lost to a TCP reset; and how long a drain waits for the PING. */
    HTTP2_LINGER_MS = 1000,
    /* And how much of it: what may be on its way, the windows that it had. */
    HTTP2_DISCARD_MAX = 2 * HTTP2_CONN_WINDOW,
    /* How long a drained connection without a stream is waited for to open one:
     * http2_conn_drain(). */
    HTTP2_QUIET_MS = 100,
    /* The kernel gives a peer that acknowledges nothing so long at least (tcp_retries2). */
    HTTP2_KERNEL_GIVES_UP_MS = 15 * 60 * 1000,

    /* ---- work of a turn, so that a connection does not keep others waiting ---- */

    /* One read of a socket, and all that a turn handles of it; of a TLS socket half as much. */
    HTTP2_READ_SIZE = 128 * 1024,
    /* A turn ends after so long, or so many bytes handled or inflated: then the others are served.
     */
    HTTP2_TURN_US = 1000,
    HTTP2_TURN_WORK = 1024 * 1024,
    /* What a turn does between two looks at the clock, and what a frame counts as: a request costs
     * a microsecond or less. */
    HTTP2_TURN_LOOK = 32 * 1024,
    HTTP2_WORK_FRAME = 256,
    /* And each byte of a header list, whatever it was on the wire. */
    HTTP2_WORK_LIST = 2,
    /* Those that had their turn and have more to do share so much time of each turn of the loop. */
    HTTP2_WAITING_US = 2000,
    /* After so many turns that were cut short, those who come next in a turn of the loop wait. */
    HTTP2_OVERS_MAX = 2,
    /* Whoever needed all of a turn waits for others first, for so long after it: an attack that
     * comes once a second is no new one each time. */
    HTTP2_HEAVY_MS = 5000,
    /* Output after which a connection lets the loop serve the others. */
    HTTP2_YIELD_BYTES = 256 * 1024,

    /* ---- frames that cost us and do nothing: calm.h ---- */

    HTTP2_CREDIT_MAX = 2048,       /* also what a connection starts with */
    HTTP2_CREDIT_PER_SECOND = 256, /* a client that cancels 128 calls a second for ever is fine */
    HTTP2_CREDIT_PER_DATA = 4, /* or answer: two windows to update, and as much again to spare */

    HTTP2_COST_FRAME = 1, /* WINDOW_UPDATE, PRIORITY, CONTINUATION, an ACK, an unknown type */
    /* DATA for a stream that we have reset: a connection's window of messages of 16 bytes is
     * 65,536 frames, and they may all have been on their way. */
    HTTP2_LATE_DATA_PER_CREDIT = 32,
    HTTP2_COST_EMPTY = 4,    /* DATA or CONTINUATION without a byte and without an end */
    HTTP2_COST_RESET = 2,    /* RST_STREAM, and the errors that make us send one */
    HTTP2_COST_SETTINGS = 8, /* walks all streams, and wants an ACK */
    /* SETTINGS_INITIAL_WINDOW_SIZE that grows by less costs for each stream that it lets send. */
    HTTP2_LITTLE_WINDOW = 4096,

    /* A8: between two pings, unless we sent HEADERS or DATA meanwhile. */
    HTTP2_PING_INTERVAL_MS = 5 * 60 * 1000,
    HTTP2_PING_INTERVAL_IDLE_MS = 2 * 60 * 60 * 1000, /* while no stream is open */
    HTTP2_PING_STRIKES = 2,
};

#endif
