/* SPDX-License-Identifier: MIT */
/*
 * What one peer may take from a worker: each bound with its reason. Bounds that an operator may
 * want to change are in struct http2_settings instead.
 *
 * Each time a peer reaches a limit, http2_counts.limit_hits counts it.
 */
#ifndef ROSTERD_HTTP2_HTTP2_LIMITS_H
#define ROSTERD_HTTP2_HTTP2_LIMITS_H

/* The limits that are counted: those below and those of the settings. */
enum http2_limit {
    HTTP2_LIMIT_CONCURRENT_STREAMS,
    HTTP2_LIMIT_HEADER_LIST,
    HTTP2_LIMIT_HEADER_BLOCK,
    HTTP2_LIMIT_HEADER_TIME,
    HTTP2_LIMIT_HANDSHAKE_TIME,
    HTTP2_LIMIT_PENDING_OUTPUT,
    HTTP2_LIMIT_MEMORY,
    HTTP2_LIMIT_TURN,
    HTTP2_LIMIT_RESETS,
    HTTP2_LIMIT_PINGS,
    HTTP2_LIMIT_SETTINGS,
    HTTP2_LIMIT_EMPTY_FRAMES,
    HTTP2_LIMIT_WINDOW_UPDATES,
    HTTP2_LIMIT_OTHER_FRAMES,
    HTTP2_LIMIT_AGE,
    HTTP2_LIMIT_IDLE,
    HTTP2_LIMIT_KEEPALIVE,
    HTTP2_NUM_LIMITS
};

/** The limit's name in metrics, e.g. "pending_output". */
const char *http2_limit_name(enum http2_limit limit);

enum {
    /* ---- memory of a connection: its windows, output, header block and streams ---- */

    /* Receive windows; both are announced. A stream's window bounds what one stalled handler keeps
     * in memory, the connection's what all of them keep. */
    HTTP2_STREAM_WINDOW = 256 * 1024,
    HTTP2_CONN_WINDOW = 1024 * 1024,
    /* With more unsent output than this the connection is not read: a peer that asks for more than
     * it reads is not listened to. */
    HTTP2_OUT_MAX = 512 * 1024,
    /* Bytes that the kernel accepts before it has sent them (TCP_NOTSENT_LOWAT). Without this bound
     * a peer that reads nothing takes megabytes of the kernel's memory. */
    HTTP2_UNSENT_MAX = 128 * 1024,
    /* A compressed header block that is longer than this, and longer than twice
     * max_header_list_size, ends the connection as it arrives. A shorter one is decoded, because
     * the dynamic table must stay in step, and its request gets a status. */
    HTTP2_BLOCK_MAX = 64 * 1024,
    /* Fields of a block that are decoded one by one, in addition to those that fit into
     * max_header_list_size. The most expensive ones enter the table and take 85 ns: 1.4 ms. */
    HTTP2_FIELDS_BESIDE = 16 * 1024,

    /* ---- time ---- */

    /* For the rest of a frame, or of a header block in CONTINUATION: 16 KiB arrive in this time at
     * 5 kbit/s, and a slow loris is closed. */
    HTTP2_FRAME_TIME_MS = 30 * 1000,
    /* How long a closing connection is drained, so that its GOAWAY is not lost in a TCP reset; and
     * how long a graceful end waits for the ACK of its PING. */
    HTTP2_LINGER_MS = 1000,
    /* Input that is drained in that time: as much as may be under way, two windows. */
    HTTP2_DISCARD_MAX = 2 * HTTP2_CONN_WINDOW,
    /* How long a graceful end waits for a connection without a stream to open one: drain.h. */
    HTTP2_QUIET_MS = 100,
    /* After this time the kernel by itself gives up a peer that acknowledges nothing
     * (tcp_retries2). */
    HTTP2_KERNEL_GIVES_UP_MS = 15 * 60 * 1000,

    /* ---- work of a turn: turn.h, loop.h ---- */

    /* One read of a socket, and the input that a turn handles; of a TLS socket half as much. */
    HTTP2_READ_SIZE = 128 * 1024,
    /* A turn ends after this time, or after this number of bytes of work. */
    HTTP2_TURN_US = 1000,
    HTTP2_TURN_WORK = 1024 * 1024,
    /* Bytes of work between two readings of the clock. */
    HTTP2_TURN_LOOK = 32 * 1024,
    /* What a frame counts as: a request takes a microsecond or less. */
    HTTP2_WORK_FRAME = 256,
    /* What each byte of a header list counts as, however short it was on the wire. */
    HTTP2_WORK_LIST = 2,
    /* The part of each turn of the loop that the waiting connections share. */
    HTTP2_WAITING_US = 1000,
    /* When this number of turns were cut short in a turn of the loop, all other connections wait.
     */
    HTTP2_OVERS_MAX = 2,
    /* A connection that has used up a turn waits before each read for this long. So an attack
     * that comes once a second does not surprise each time. */
    HTTP2_HEAVY_MS = 5000,
    /* Output after which a connection lets the loop serve the others. */
    HTTP2_YIELD_BYTES = 256 * 1024,

    /* ---- frames that cost us work and achieve nothing: calm.h ---- */

    /* Also the credit of a new connection. The maximum is larger where max_concurrent_streams
     * allows so many calls that an honest client needs more before the first answer: grpcio sends
     * up to two window updates with each call, and an answer may take seconds. */
    HTTP2_CREDIT_MAX = 2048,
    HTTP2_CREDIT_PER_STREAM = 2,
    HTTP2_CREDIT_PER_SECOND = 256, /* allows a client to cancel 128 calls a second without limit */
    /* For each DATA frame or answer that we send: two window updates, and as much to spare. */
    HTTP2_CREDIT_PER_DATA = 4,

    HTTP2_COST_FRAME = 1, /* WINDOW_UPDATE, PRIORITY, CONTINUATION, an ACK, an unknown type */
    /* This many DATA frames for streams that we have reset cost one credit: a connection's window
     * of messages of 16 bytes is 65,536 frames, and all of them may be under way. */
    HTTP2_LATE_DATA_PER_CREDIT = 32,
    HTTP2_COST_EMPTY = 4,    /* DATA or CONTINUATION without a byte and without an end */
    HTTP2_COST_RESET = 2,    /* RST_STREAM, and an error that makes us send one */
    HTTP2_COST_SETTINGS = 8, /* makes us walk all streams and send an ACK */
    /* It costs more where the table of streams is large: one credit for this many buckets. */
    HTTP2_BUCKETS_PER_CREDIT = 128,
    /* A SETTINGS_INITIAL_WINDOW_SIZE that grows by less than this costs credit for each stream that
     * can send because of it. */
    HTTP2_LITTLE_WINDOW = 4096,

    /* A8: PINGs must lie this far apart, unless we have sent HEADERS or DATA in between. */
    HTTP2_PING_INTERVAL_MS = 5 * 60 * 1000,
    HTTP2_PING_INTERVAL_IDLE_MS = 2 * 60 * 60 * 1000, /* while no stream is open */
    HTTP2_PING_STRIKES = 2,                           /* PINGs that may come too early */
};

#endif
