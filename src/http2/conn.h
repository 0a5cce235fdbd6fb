/* SPDX-License-Identifier: MIT */
/*
 * What the files of http2/ share: the connection's state and the functions
 * between them. Not for anybody else.
 */
#ifndef ROSTERD_HTTP2_CONN_H
#define ROSTERD_HTTP2_CONN_H

#include "http2/http2.h"

#include <string.h>

#include <h2o/http2.h>
#include <h2o/http2_internal.h>

#include "http2/calm.h"
#include "http2/hpack_encode.h"
#include "http2/memo.h"
#include "http2/section.h"

enum {
    /* A turn's output goes to the socket when it has this much; bodies stop there. */
    HTTP2_OUT_TARGET = 64 * 1024,
    /* What one stream sends before the next one's turn. */
    HTTP2_TURN_QUANTUM = 16 * 1024,
    /* The peer's SETTINGS_MAX_FRAME_SIZE is at least this; more is not used. */
    HTTP2_FRAME_MAX = 16 * 1024,
    /* What an output buffer begins with: the target, and the last frame. */
    HTTP2_OUTPUT_SIZE = HTTP2_OUT_TARGET + HTTP2_FRAME_MAX,
    /* Of how many of the newest stream ids we remember how they closed. */
    HTTP2_CLOSED_MEMORY = 1024,
};

/* What our PINGs carry, eight bytes with the NULs: an ACK tells by it which one it answers. */
#define HTTP2_PING_DRAIN     "drain\0\0"
#define HTTP2_PING_KEEPALIVE "keepaliv"

enum http2_conn_state {
    HTTP2_CONN_PREFACE,  /* nothing valid came yet */
    HTTP2_CONN_SETTINGS, /* the preface came, SETTINGS must be next */
    HTTP2_CONN_OPEN,
    HTTP2_CONN_CLOSING, /* the last words are being written; input is thrown away */
    HTTP2_CONN_LOST,    /* to be destroyed at the end of the callback */
};

/* How a closed stream closed: decides what a late frame on it means (RFC 9113 5.1). */
enum http2_closed {
    HTTP2_CLOSED_ENDED = 0,
    HTTP2_CLOSED_BY_US = 1,
    HTTP2_CLOSED_BY_PEER = 2,
    HTTP2_CLOSED_SKIPPED = 3, /* a later stream was opened first: RFC 9113 5.1.1 */
};

/* Bytes to be written: those from off to len wait. An idle connection has no buffer. */
struct http2_output {
    uint8_t *bytes;
    size_t cap, off, len;
};

/* As h2o_linklist_is_empty(), which takes no const. */
static inline bool http2_list_empty(const h2o_linklist_t *list)
{
    return list->next == list;
}

static inline size_t http2_output_waiting(const struct http2_output *output)
{
    return output->len - output->off;
}

/* Memory of one size that was given back, for the next who needs it. */
struct http2_spares {
    void *first; /* each begins with a pointer to the next */
    uint32_t count, max;
};

struct http2_conn {
    struct http2_context *context;
    h2o_socket_t *sock;
    struct http2_tls *tls;  /* NULL: plain */
    h2o_linklist_t link;    /* in context->conns */
    h2o_linklist_t touched; /* in context->touched: something is to be flushed */
    h2o_linklist_t waiting; /* in context->waiting, or fresh: something is to be done in a turn */
    enum http2_conn_state state;
    uint8_t busy;           /* inside one of our callbacks: settle comes at its end */
    unsigned over : 1;      /* the turn is: what is left waits for the next one */
    unsigned unhandled : 1; /* whole frames may be in carry */
    unsigned readable : 1;  /* the socket was, while another turn was waited for */
    unsigned broken : 1;    /* no memory for output: it ends when the callback does */
    unsigned reading_stopped : 1;
    unsigned draining : 1;   /* the first GOAWAY was sent, or is due */
    unsigned goaway_due : 1; /* it waits for a stream, or for quiet */
    unsigned drained : 1;    /* the last one was */
    unsigned writing : 1;    /* waits for the socket to take more */
    unsigned shut : 1;       /* our side of the socket is shut down */
    unsigned lingering : 1;  /* the linger timer runs */
    unsigned aged : 1;       /* max_age has passed */

    /* turn.c: what it used, when to look at the clock next, when it began (0: not known yet) */
    uint32_t turn_used, turn_look;
    uint64_t turn_began_ns;
    uint64_t
        heavy_until_ms; /* its reads wait for a turn until then: its last ones took all of it */
    size_t discarded;   /* bytes that came while it closes */
    size_t held;        /* bytes of memory that it makes us hold: account.c */

    struct timer life_timer;
    /* ms; partial: 0 while no frame or header block is incomplete; ping: of a keepalive that
     * nothing has answered, else 0 */
    uint64_t accepted_ms, read_ms, idle_ms, partial_ms, ping_ms, age_at_ms;
    const char *drain_why; /* GOAWAY's debug data */

    h2o_http2_settings_t peer;
    struct hpack_table decoder;
    struct hpack_encoder encoder;
    struct http2_memo memo;

    struct http2_stream **buckets; /* by id / 2 */
    uint32_t num_buckets, num_streams;
    uint32_t last_id;   /* the highest that the peer opened */
    uint32_t goaway_id; /* streams above it are not served any more */
    uint8_t closed_how[HTTP2_CLOSED_MEMORY / 4];
    struct http2_calm calm;
    uint32_t late_data; /* frames with something in them, for streams that are gone */

    h2o_linklist_t turns;   /* streams with something to send, in order of their turns */
    h2o_linklist_t stopped; /* streams whose handler goes on in the next turn */
    h2o_linklist_t closed;  /* streams whose on_close is due */
    int64_t send_window;
    uint32_t recv_window, recv_unacked;
    uint32_t budget; /* what the running callback may still send: a turn */

    uint8_t *carry; /* the head of a frame whose rest has not come */
    size_t carry_len;
    uint8_t *block; /* a header block under CONTINUATION */
    size_t block_len, block_size;
    uint32_t block_stream;
    bool block_end_stream;
    bool block_self_dependent; /* its priority is a stream error, RFC 7540 5.3.1 */

    struct http2_output out;
    size_t data_frame;                /* offset + 1 in out of the DATA frame that may grow */
    struct http2_stream *data_stream; /* whose it is */
    size_t written;                   /* in this turn */

    struct timer linger_timer;
    char *peer_text; /* NULL until somebody asked */
    char *subject;   /* of its certificate */
};

struct http2_context {
    h2o_loop_t *loop;
    struct timers *timers;
    const struct http2_handler *handler;
    struct http2_settings settings;
    struct http2_counts counts;
    h2o_linklist_t conns;
    h2o_linklist_t touched, fresh, waiting; /* connections: turn.c */
    unsigned
        overs; /* turns of this turn of the loop that were cut short, before the waiting ones' */
    struct http2_spares streams; /* of handler->stream_size */
    struct http2_spares outputs; /* of HTTP2_OUTPUT_SIZE */
    struct http2_fields fields;  /* of the section that is being handled */
    uint8_t *input;              /* one read, after the carried-over head of its first frame */
    uint8_t sink[2 * HTTP2_FRAME_MAX]; /* takes output for which there is no memory */
    struct http2_tls_io *tls_io;       /* NULL until the first TLS connection */
};

/* input holds what was carried over, and HTTP2_READ_SIZE bytes behind it. */
enum { HTTP2_INPUT_SIZE = HTTP2_FRAME_MAX + 9 + HTTP2_READ_SIZE };

/* conn.c */
/** GOAWAY with the error, then the connection closes; its streams get on_close. */
void http2_conn_fail(struct http2_conn *conn, enum http2_error error, const char *why);
/** Takes the cost of a frame that does nothing from the peer's credit; may fail the connection.
 * @return whether it goes on */
bool http2_conn_spend(struct http2_conn *conn, int32_t cost, enum http2_limit limit);
/** Counts that the peer has met a limit. */
void http2_conn_limit(struct http2_conn *conn, enum http2_limit limit);
/** As http2_conn_fail(), where it is not the peer's fault. */
void http2_conn_end(struct http2_conn *conn, enum http2_error error, const char *why);
/** Closes without a GOAWAY: the peer would not hear it, but what was written before. */
void http2_conn_hang_up(struct http2_conn *conn);
/** The socket is of no use any more. */
void http2_conn_lost(struct http2_conn *conn);
/** @param why GOAWAY's debug data, a static string; may be empty */
void http2_conn_drain(struct http2_conn *conn, const char *why);
void http2_conn_drain_finish(struct http2_conn *conn);
/** The client's SETTINGS came. */
void http2_conn_open(struct http2_conn *conn);
/** A stream was, and nothing is written for it yet. */
void http2_conn_stream_opened(struct http2_conn *conn);
/** A closing connection's last words: they get a second to be written, and the peer one to hear
 * them. */
void http2_conn_linger(struct http2_conn *conn);
/** Frees it at once. */
void http2_conn_destroy(struct http2_conn *conn);
/** @return NULL: no memory; the socket is closed then */
struct http2_conn *http2_conn_create(struct http2_context *context, h2o_socket_t *sock);

/* turn.c */
/** Reads from now on: the socket is connected. */
void http2_turn_start(struct http2_conn *conn);
/** Every callback begins and ends by these. The connection may be gone after the latter. */
void http2_turn_enter(struct http2_conn *conn);
void http2_turn_settle(struct http2_conn *conn);
/** Has what was queued outside of a callback flushed by the next http2_context_run(). */
void http2_conn_touch(struct http2_conn *conn);
/** It has more to do, in a turn to come. */
void http2_turn_wait(struct http2_conn *conn);
/** Reads the clock: is the turn over? */
void http2_turn_look(struct http2_conn *conn);
/** Takes the cost of some work from the turn, in bytes that were handled or as many as would take
 * the same time. */
static inline void http2_turn_spend(struct http2_conn *conn, uint32_t cost)
{
    conn->turn_used += cost;
    if (conn->turn_used >= conn->turn_look)
        http2_turn_look(conn);
}

/* account.c */
/** Counts `len` bytes as held for the connection. @return false: they would be too many, and are
 * not counted */
bool http2_account_hold(struct http2_conn *conn, size_t len);
/** The same where it cannot be refused. */
void http2_account_force(struct http2_conn *conn, size_t len);
void http2_account_release(struct http2_conn *conn, size_t len);
/** Whether more may be read, and handled: output has room. */
bool http2_account_may_read(const struct http2_conn *conn);

/** Memory of the size for which the spares are kept. @return NULL: there is none */
void *http2_spares_take(struct http2_spares *spares, size_t size);
void http2_spares_give(struct http2_spares *spares, void *memory);
void http2_spares_free(struct http2_spares *spares);

/* input.c */
/** Reads once, behind what was carried over, into the context's input. @return false: nothing more
 * will come */
bool http2_input_read(struct http2_conn *conn, size_t *len);
/** @return bytes read, 0: there are none now, -1: nothing more will come */
ssize_t http2_input_read_socket(struct http2_conn *conn, uint8_t *dst, size_t room);
/** The peer is alive: bytes of it came. */
void http2_input_came(struct http2_conn *conn);
/** Preface and frames; what is not handled is carried over, and overwritten where it was. */
void http2_input_handle(struct http2_conn *conn, uint8_t *src, size_t len);
/** Overwrites and frees what was carried over. */
void http2_input_drop(struct http2_conn *conn);
/** Reads and throws away what a connection that closes still gets. @return false: it has got its
 * end */
bool http2_input_discard(struct http2_conn *conn);

/* write.c */
/** Writes what is queued as far as the socket takes it; conn->writing: it waits for the socket. */
void http2_write(struct http2_conn *conn);
/** Sends bytes as they are. @return how many the socket took, or -1: it is of no use any more */
ssize_t http2_write_some(struct http2_conn *conn, const uint8_t *bytes, size_t len);

/* tls.c */
/** Reads and decrypts. @return bytes put at dst, which has room for room; -1: nothing more will
 * come */
ssize_t http2_tls_read(struct http2_conn *conn, uint8_t *dst, size_t room);
/** Encrypts and writes; advances the output. @return false: the socket is of no use any more */
bool http2_tls_write(struct http2_conn *conn);
/** Bytes, encrypted, that wait for the socket. */
size_t http2_tls_waiting(const struct http2_conn *conn);
/** Whether it is to be signed for this peer still. */
bool http2_tls_is_new(const struct http2_conn *conn);
/** Whether the peer has said that nothing follows. */
bool http2_tls_ended(const struct http2_conn *conn);
/** Tells the peer that nothing follows (close_notify). */
void http2_tls_shutdown(struct http2_conn *conn);
void http2_tls_free(struct http2_conn *conn);
void http2_tls_io_free(struct http2_context *context);

/* frames.c */
/** Handles every whole frame in src; returns how many bytes were used. */
size_t http2_frames_handle(struct http2_conn *conn, uint8_t *src, size_t len);

/* headers.c */
void http2_headers_handle(struct http2_conn *conn, const h2o_http2_frame_t *frame);
void http2_continuation_handle(struct http2_conn *conn, const h2o_http2_frame_t *frame);
/** Overwrites and frees what came of a header block. */
void http2_block_drop(struct http2_conn *conn);

/* stream.c */
struct http2_stream *http2_stream_find(struct http2_conn *conn, uint32_t id);
struct http2_stream *http2_stream_open(struct http2_conn *conn, uint32_t id);
/** Forgets an open stream that the handler never heard of. */
void http2_stream_forget(struct http2_stream *stream);
/** Both sides are done or one reset: on_close is due. */
void http2_stream_closed(struct http2_stream *stream);
void http2_streams_reap(struct http2_conn *conn);
void http2_streams_lose(struct http2_conn *conn);
enum http2_closed http2_closed_get(const struct http2_conn *conn, uint32_t id);
void http2_closed_set(struct http2_conn *conn, uint32_t id, enum http2_closed how);
void http2_conn_credit(struct http2_conn *conn, size_t len);

/* life.c */
/** The connection was made: its times run. */
void http2_life_begin(struct http2_conn *conn);
/** It is open now: other times than those of a handshake. */
void http2_life_open(struct http2_conn *conn);
void http2_life_end(struct http2_conn *conn);
/** Input was handled. @param progress a whole frame was in it */
void http2_life_partial(struct http2_conn *conn, bool progress);

/* output.c */
/** Appends len bytes, at most HTTP2_FRAME_MAX and two frames' headers, and returns where they go.
 * Without memory the connection is broken, and they go nowhere. */
static inline uint8_t *http2_out_put(struct http2_conn *conn, size_t len);
uint8_t *http2_out_put_slowly(struct http2_conn *conn, size_t len);
/** Appends a whole frame. */
void http2_out_frame(struct http2_conn *conn, uint8_t type, uint8_t flags, uint32_t id,
                     const void *payload, size_t len);
void http2_out_window_update(struct http2_conn *conn, uint32_t id, uint32_t increment);
void http2_out_ping(struct http2_conn *conn, uint8_t flags, const uint8_t data[8]);
void http2_out_goaway(struct http2_conn *conn, uint32_t last_id, enum http2_error error,
                      const char *why);
void http2_out_rst_stream(struct http2_conn *conn, uint32_t id, enum http2_error error);
/** Gives the buffer back, with what is in it. */
void http2_out_free(struct http2_conn *conn);
/** Gives back what waits in the stream. */
void http2_stream_drop_pending(struct http2_stream *stream);
/** Lets streams send, in turns, while windows and buffer have room. */
void http2_out_pump(struct http2_conn *conn);
/** Puts a stream with something to send into the queue, unless its window is closed. */
void http2_out_enqueue(struct http2_stream *stream);

static inline uint8_t *http2_out_put(struct http2_conn *conn, size_t len)
{
    struct http2_output *out = &conn->out;
    if (out->cap - out->len < len)
        return http2_out_put_slowly(conn, len);
    uint8_t *at = out->bytes + out->len;
    out->len += len;
    return at;
}

/** Whether a stream waits that may send now. */
static inline bool http2_out_may_pump(const struct http2_conn *conn)
{
    return !http2_list_empty(&conn->turns) && conn->send_window > 0 && !conn->over &&
           conn->state < HTTP2_CONN_CLOSING;
}

static inline void http2_out_close_data(struct http2_conn *conn)
{
    conn->data_frame = 0;
}

#endif
