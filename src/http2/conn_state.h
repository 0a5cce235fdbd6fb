/* SPDX-License-Identifier: MIT */
/*
 * The state of a connection and of a context (all connections of one event loop), which the modules
 * of http2/ share. Private to http2/: users of the library include http2/http2.h.
 *
 * The modules, from the lowest to the highest. Each calls only those above its own line:
 *
 *   hpack/ calm memo section spares    know no connection
 *   account turn                       what a connection holds, and how long its turn lasts
 *   out                                output buffer and frames without a body
 *   stream                             table of streams, receive windows
 *   response                           header sections, bodies, trailers
 *   conn_error                         connection errors, stream errors, limits
 *   drain life                         graceful end, time-outs
 *   socket write                       bytes from and to the peer
 *   headers peer_settings frames input from bytes to callbacks of the handler
 *   conn                               creation and destruction
 *   loop context tls/                  callbacks of the event loop, public functions
 *
 * A lower module reaches a higher one only through a pointer: struct http2_handler, struct
 * http2_transport, the callback of a timer.
 */
#ifndef ROSTERD_HTTP2_CONN_STATE_H
#define ROSTERD_HTTP2_CONN_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <h2o.h>
#include <h2o/http2.h>
#include <h2o/http2_internal.h>

#include "base/timer.h"
#include "http2/calm.h"
#include "http2/hpack/hpack_encode.h"
#include "http2/hpack/hpack_table.h"
#include "http2/http2.h"
#include "http2/memo.h"
#include "http2/section.h"
#include "http2/spares.h"

enum {
    /* A turn's output is written when it reaches this size; bodies stop there. */
    HTTP2_OUT_TARGET = 64 * 1024,
    /* Bytes that one stream sends before the next stream has its turn. */
    HTTP2_TURN_QUANTUM = 16 * 1024,
    /* The largest payload that we send. Every peer's SETTINGS_MAX_FRAME_SIZE allows it. */
    HTTP2_FRAME_MAX = 16 * 1024,
    /* The initial size of an output buffer: the target, and one frame that passes it. */
    HTTP2_OUTPUT_SIZE = HTTP2_OUT_TARGET + HTTP2_FRAME_MAX,
    /* For this many of the newest stream ids we remember how they were closed. */
    HTTP2_CLOSED_MEMORY = 1024,
    /* The input buffer: one frame that was carried over, and one read behind it. */
    HTTP2_INPUT_SIZE = HTTP2_FRAME_MAX + 9 + HTTP2_READ_SIZE,
};

enum http2_conn_state {
    HTTP2_CONN_PREFACE,  /* the client's preface has not arrived yet */
    HTTP2_CONN_SETTINGS, /* the preface has arrived; SETTINGS must be the next frame */
    HTTP2_CONN_OPEN,
    HTTP2_CONN_CLOSING, /* the last output is being written; input is discarded */
    HTTP2_CONN_LOST,    /* to be destroyed when the running callback ends */
};

/* How far the end of a connection has come. drain.h explains the phases; they only ever rise. */
enum http2_drain_phase {
    HTTP2_DRAIN_NONE,
    HTTP2_DRAIN_DUE,
    HTTP2_DRAIN_ANNOUNCED,
    HTTP2_DRAIN_FINAL,
    HTTP2_DRAIN_LINGERING,
    HTTP2_DRAIN_SHUT,
};

/* Output bytes; those from `off` to `len` are not written yet. An idle connection has no buffer. */
struct http2_output {
    uint8_t *bytes;
    size_t cap, off, len;
};

static inline size_t http2_output_waiting(const struct http2_output *output)
{
    return output->len - output->off;
}

/** Like h2o_linklist_is_empty(), but takes a const pointer. */
static inline bool http2_list_empty(const h2o_linklist_t *list)
{
    return list->next == list;
}

struct http2_conn {
    struct http2_context *context;
    h2o_socket_t *sock;
    const struct http2_transport *transport; /* reads and writes the socket: plain, or TLS */
    struct http2_tls *tls;                   /* the TLS transport's state; NULL: plain */
    h2o_linklist_t link;                     /* in context->conns */
    h2o_linklist_t touched; /* in context->touched while output waits to be flushed */
    h2o_linklist_t waiting; /* in context->waiting or ->fresh while it waits for a turn */
    enum http2_conn_state state;
    enum http2_drain_phase drain_phase;
    uint8_t busy;            /* depth of running callbacks; settling happens at depth 0 */
    unsigned over : 1;       /* the turn is used up; remaining work waits for the next turn */
    unsigned unhandled : 1;  /* `carry` may hold whole frames */
    unsigned readable : 1;   /* the socket became readable while the connection waited */
    unsigned out_failed : 1; /* no memory for output: the connection ends with the callback */
    unsigned reading_stopped : 1;
    unsigned writing : 1; /* the socket takes no more; waiting until it is writable */
    unsigned aged : 1;    /* max_age has passed */

    /* turn.c: work done in this turn, when to read the clock next, and when the turn began
     * (0: the clock has not been read yet) */
    uint32_t turn_used, turn_look;
    uint64_t turn_began_ns;
    uint64_t heavy_until_ms; /* until then reads wait for a turn: one was used up recently */
    size_t discarded;        /* input bytes that were discarded while closing */
    size_t held;             /* bytes of memory held for this connection: account.h */

    struct timer life_timer;
    uint64_t accepted_ms, read_ms, idle_ms;
    uint64_t partial_ms; /* when an incomplete frame or header block began; 0: none */
    uint64_t ping_ms;    /* when the unanswered keepalive PING was sent; 0: none */
    uint64_t age_at_ms;

    struct timer drain_timer;
    const char *drain_why; /* debug data of the GOAWAYs; a static string */

    h2o_http2_settings_t peer; /* the client's SETTINGS */
    struct hpack_table decoder;
    struct hpack_encoder encoder;
    struct http2_memo memo;

    struct http2_stream **buckets; /* open streams by id / 2 */
    uint32_t num_buckets, num_streams;
    uint32_t last_id;   /* the highest stream id that the peer has used */
    uint32_t goaway_id; /* streams above this id are not served */
    uint8_t closed_how[HTTP2_CLOSED_MEMORY / 4];
    struct http2_calm calm;
    uint32_t late_data; /* non-empty DATA frames that arrived for closed streams */

    h2o_linklist_t turns;   /* streams with something to send, in the order of their turns */
    h2o_linklist_t stopped; /* streams whose handler continues in the next turn */
    h2o_linklist_t closed;  /* streams whose on_close is due */
    int64_t send_window;
    uint32_t recv_window;  /* bytes that the peer may still send */
    uint32_t recv_unacked; /* consumed bytes that no WINDOW_UPDATE has given back yet */
    uint32_t budget;       /* bytes that the running callback may still send */

    uint8_t *carry; /* the beginning of a frame that is not complete; secret memory */
    size_t carry_len;
    uint8_t *block; /* a header block that continues in CONTINUATION; secret memory */
    size_t block_len, block_size;
    uint32_t block_stream; /* 0: no block is incomplete */
    bool block_end_stream;
    bool block_self_dependent; /* its priority is a stream error, RFC 7540 5.3.1 */

    struct http2_output out;
    size_t sealed_waiting;            /* encrypted bytes that the socket has not taken */
    size_t data_frame;                /* offset + 1 in `out` of the DATA frame that may grow */
    struct http2_stream *data_stream; /* the stream of that frame */
    size_t written;                   /* bytes written in this turn */

    char *peer_text; /* http2_conn_peer(); NULL until it was asked for */
    char *subject;   /* of the peer's certificate; NULL: none */
};

struct http2_context {
    h2o_loop_t *loop;
    struct timers *timers;
    const struct http2_handler *handler;
    struct http2_settings settings;
    struct http2_counts counts;
    h2o_linklist_t conns;
    h2o_linklist_t touched, fresh, waiting; /* connections: loop.c */
    unsigned overs;                         /* turns that were cut short in this turn of the loop */
    struct http2_spares streams;            /* pieces of handler->stream_size */
    struct http2_spares outputs;            /* pieces of HTTP2_OUTPUT_SIZE */
    struct http2_fields fields;             /* of the section that is being decoded */
    uint8_t *input;                    /* HTTP2_INPUT_SIZE bytes, for the connection that is read */
    uint8_t sink[2 * HTTP2_FRAME_MAX]; /* takes output for which there is no memory */
    struct http2_tls_io *tls_io;       /* NULL until the first TLS connection */
    void (*tls_io_dispose)(struct http2_tls_io *io);
};

/** Counts that the peer has reached a limit. */
static inline void http2_conn_limit(struct http2_conn *conn, enum http2_limit limit)
{
    conn->context->counts.limit_hits[limit]++;
}

#endif
