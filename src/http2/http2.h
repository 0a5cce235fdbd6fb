/* SPDX-License-Identifier: MIT */
/*
 * One HTTP/2 server connection (RFC 9113) on libh2o's sockets, frame codec and
 * HPACK decoder: request bodies and responses are streamed, and a response
 * ends with trailers. Knows nothing of what its streams carry.
 */
#ifndef ROSTERD_HTTP2_HTTP2_H
#define ROSTERD_HTTP2_HTTP2_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <h2o.h>

#include "base/timer.h"
#include "http2/limits.h"

/* RFC 9113 7. */
enum http2_error {
    HTTP2_NO_ERROR = 0x0,
    HTTP2_PROTOCOL_ERROR = 0x1,
    HTTP2_INTERNAL_ERROR = 0x2,
    HTTP2_FLOW_CONTROL_ERROR = 0x3,
    HTTP2_SETTINGS_TIMEOUT = 0x4,
    HTTP2_STREAM_CLOSED = 0x5,
    HTTP2_FRAME_SIZE_ERROR = 0x6,
    HTTP2_REFUSED_STREAM = 0x7,
    HTTP2_CANCEL = 0x8,
    HTTP2_COMPRESSION_ERROR = 0x9,
    HTTP2_CONNECT_ERROR = 0xa,
    HTTP2_ENHANCE_YOUR_CALM = 0xb,
    HTTP2_INADEQUATE_SECURITY = 0xc,
    HTTP2_HTTP_1_1_REQUIRED = 0xd,
};

struct http2_context; /* all connections of one event loop */
struct http2_conn;

/** Where a stream stands towards its handler; RFC 9113 5.1 seen from the server. */
struct http2_stream {
    struct http2_conn *conn;
    struct http2_stream *hash_next;
    h2o_linklist_t turn; /* in conn's queue of senders; once closed, of the closed */
    uint8_t *pending;    /* accepted body bytes that windows or the buffer held back */
    uint32_t pending_len, pending_off, pending_cap;
    h2o_linklist_t stopped; /* in conn's list of those that go on in its next turn */
    uint32_t id;
    uint32_t held;              /* bytes counted for it: http2_stream_hold() */
    int32_t send_window;        /* may be negative after SETTINGS, RFC 9113 6.9.2 */
    uint32_t recv_window;       /* what the peer may still send */
    uint32_t recv_held;         /* delivered to the handler, not yet consumed */
    uint32_t recv_unacked;      /* consumed, not yet credited to the peer */
    uint64_t content_length;    /* still to come; UINT64_MAX where none was announced */
    unsigned remote_closed : 1; /* END_STREAM or RST_STREAM came */
    unsigned local_closed : 1;  /* END_STREAM or RST_STREAM was queued */
    unsigned want_write : 1;
    unsigned closed : 1; /* on_close is due */
    unsigned reset : 1;  /* either side reset it */
    uint32_t error;      /* for on_close */
};

/** A request's header section. All of it is valid only during on_request. */
struct http2_request {
    h2o_iovec_t method, authority, path; /* base NULL where absent */
    const h2o_header_t *fields;          /* in order; names in lower case */
    size_t num_fields;
    uint32_t list_size;    /* RFC 9113 6.5.2, of the fields that are there */
    bool end_stream;       /* there is no body */
    bool fields_too_large; /* over max_header_list_size: fields may be cut short */
};

/**
 * What is served. One for a context; data is the handler's own. Callbacks run
 * in the loop's thread, and may call any http2_stream_*() function on any
 * stream. After on_close, and only then, the stream's memory is reused.
 */
struct http2_handler {
    /** Bytes of the handler's own struct, whose first member is struct
     * http2_stream. Bytes after that member are NOT zeroed. */
    size_t stream_size;
    void (*on_request)(struct http2_stream *stream, const struct http2_request *request);
    /** Body bytes, valid and writable during the call; `len` may be 0 with
     * `end_stream`. Never called with end_stream twice. Every byte must be
     * given back by http2_stream_consume(), now or later. */
    void (*on_data)(struct http2_stream *stream, uint8_t *data, size_t len, bool end_stream);
    /** The body ended with a trailer section (valid during the call). */
    void (*on_trailers)(struct http2_stream *stream, const h2o_header_t *fields, size_t num_fields);
    /** There is room to send, as asked by http2_stream_want_write(). */
    void (*on_writable)(struct http2_stream *stream);
    /** The connection has its next turn, as asked by http2_stream_stop(). NULL: nobody asks. */
    void (*on_turn)(struct http2_stream *stream);
    /** Exactly once for each on_request, last: the stream is gone. Never called
     * from inside a function of this header that the handler calls.
     * @param complete both sides ended it in the regular way
     * @param error where not complete: the peer's or our RST_STREAM code, or
     *   HTTP2_CONNECT_ERROR where the connection was lost */
    void (*on_close)(struct http2_stream *stream, bool complete, uint32_t error);
    void *data;
};

/** Of a connection. Times are ms; for those that gRPC's A8 and A9 name, 0 is "never". */
struct http2_settings {
    uint32_t max_concurrent_streams; /* announced; beyond: REFUSED_STREAM */
    uint32_t max_header_list_size;   /* announced; RFC 9113 10.5.1 bytes */
    uint64_t handshake_timeout;      /* from accept to the end of the first SETTINGS; 0: never */
    uint64_t max_age;                /* then GOAWAY "max_age"; +-10 % by chance */
    uint64_t max_age_grace;          /* and closed so much later; 0: when its streams end */
    uint64_t max_idle;               /* without a stream, then GOAWAY "max_idle" */
    uint64_t keepalive_time;         /* without a byte from the peer, then PING */
    uint64_t keepalive_timeout;      /* of that PING's answer; then the connection is lost */
    uint64_t ping_min_time;          /* between the peer's pings; 0: A8's five minutes */
    bool ping_without_streams;       /* that often with no stream open, too */
    uint32_t turn_us;                /* a connection's turn; 0: HTTP2_TURN_US */
    size_t max_memory;               /* bytes that one connection makes us hold; 0: no bound */
    /** Takes a line for the log: what failed before there was HTTP/2. At most ten a second. NULL:
     * nobody wants it. */
    void (*note)(const char *line);
};

/** Counts of one context, plain and monotonic except the open ones. */
struct http2_counts {
    uint64_t connections_accepted, connections_open;
    uint64_t streams_opened, streams_open;
    uint64_t bytes_in, bytes_out;
    uint64_t protocol_errors; /* connections that ended by a GOAWAY with an error */
    uint64_t resets_in, resets_out;
    uint64_t tls_failures; /* handshakes that failed */
    uint64_t limit_hits[HTTP2_NUM_LIMITS];
};

/** Ends with http2_context_destroy(); loop, timers and handler must outlive it. The caller runs the
 * timers, with their clock read after each wait of the loop. */
struct http2_context *http2_context_create(h2o_loop_t *loop, struct timers *timers,
                                           const struct http2_handler *handler,
                                           const struct http2_settings *settings);
/** Closes all connections at once (their streams get on_close). */
void http2_context_destroy(struct http2_context *context);
/** To be called in each turn of the loop, after its wait and after the timers: flushes what they
 * queued, and lets connections go on that had more to do than a turn allows, for about
 * HTTP2_WAITING_US. @return whether there is more to do: then the loop must not wait */
bool http2_context_run(struct http2_context *context);
/** The same question, without doing anything. */
bool http2_context_pending(const struct http2_context *context);
/** Graceful: two GOAWAYs (RFC 9113 6.8), each connection closes after its last stream; one in its
 * handshake may end that within handshake_timeout. */
void http2_context_shutdown(struct http2_context *context);
const struct http2_counts *http2_context_counts(const struct http2_context *context);
h2o_loop_t *http2_context_loop(const struct http2_context *context);
const struct http2_handler *http2_context_handler(const struct http2_context *context);

/** Takes over a connected socket (its data is http2's from now on; its
 * on_close stays the caller's). */
void http2_accept(struct http2_context *context, h2o_socket_t *sock);
/** The same, after a TLS handshake as a server with `ssl`, which http2_tls_prepare() has seen; both
 * have handshake_timeout together. */
void http2_accept_tls(struct http2_context *context, h2o_socket_t *sock, SSL_CTX *ssl);
/** Sets what HTTP/2 wants of TLS (RFC 9113 9.2): 1.2 or later, ALPN h2 and nothing else, its cipher
 * suites, no renegotiation. The context's info callback is http2's. */
bool http2_tls_prepare(SSL_CTX *ssl);

/** Instead of http2_accept(), for a plain connected socket that is one too many: GOAWAY
 * ENHANCE_YOUR_CALM with `why` as debug data (100 bytes at most), as far as that needs no waiting;
 * the descriptor is closed. */
void http2_refuse(int fd, const char *why);

/* ---- connections ---- */
struct http2_context *http2_conn_context(const struct http2_conn *conn);
h2o_socket_t *http2_conn_socket(const struct http2_conn *conn);
/** "127.0.0.1:4711", "[::1]:4711", "unix:" or "unknown"; valid as long as the connection */
const char *http2_conn_peer(struct http2_conn *conn);
/** The subject of the peer's certificate (RFC 2253), as long as the connection; NULL: none */
const char *http2_conn_subject(const struct http2_conn *conn);

/* ---- sending on a stream ---- */

/**
 * A header field to send. `intern` 1 to HTTP2_INTERN_MAX says that this number
 * always means this very name and value in this process: such a field goes
 * into the peer's dynamic table once and costs one byte from then on. 0 is a
 * field sent literally. Names are in lower case.
 */
struct http2_field {
    const char *name, *value;
    uint16_t name_len;
    uint32_t value_len;
    uint8_t intern;
};
enum { HTTP2_INTERN_MAX = 31 };

/** The response's header section. Once, before any body byte. With end_stream
 * it is the whole response. @param status an HTTP status, 200 to 599 */
void http2_stream_send_headers(struct http2_stream *stream, unsigned status,
                               const struct http2_field *fields, size_t num_fields,
                               bool end_stream);
/**
 * Appends `len` bytes to the body and returns where to write them, at once and
 * before any other call into http2. Only while the local side is open. What windows do
 * not let go now waits in the stream (http2_stream_pending). Small writes of one stream in
 * a row share DATA frames.
 * @return NULL: max_memory is reached, or there is no memory. Nothing was appended.
 */
uint8_t *http2_stream_reserve(struct http2_stream *stream, size_t len);
/** Bytes that would go out now without waiting in the stream, or 0: then ask
 * for on_writable. A stream that sends much sends about this much a turn. */
size_t http2_stream_room(const struct http2_stream *stream);
/** Body bytes that wait in the stream. */
static inline size_t http2_stream_pending(const struct http2_stream *stream)
{
    return stream->pending_len - stream->pending_off;
}
/** on_writable once: as soon as pending is 0 where bytes wait now, else when
 * there is room. Streams take turns. */
void http2_stream_want_write(struct http2_stream *stream);
/** Ends the response by a trailer section. Only while http2_stream_pending() is 0.
 * Where the peer has not ended its side, RST_STREAM NO_ERROR follows (RFC 9113 8.1). */
void http2_stream_send_trailers(struct http2_stream *stream, const struct http2_field *fields,
                                size_t num_fields);
/** Ends the response by the last body byte (empty DATA with END_STREAM where nothing waits). */
void http2_stream_end(struct http2_stream *stream);
/** RST_STREAM; what waits in the stream is dropped. on_close follows from the loop. */
void http2_stream_reset(struct http2_stream *stream, enum http2_error error);

/* ---- what a stream costs ---- */

/** Counts bytes that the handler keeps for the stream, as long as it is open or until they are
 * released. @return false: with them the connection would hold more than max_memory, and they
 * are not counted */
bool http2_stream_hold(struct http2_stream *stream, size_t len);
void http2_stream_release(struct http2_stream *stream, size_t len);
/** Takes work from the connection's turn: `bytes` handled, or as many as would take the same time
 * (about a nanosecond each). */
void http2_stream_work(struct http2_stream *stream, size_t bytes);
/** Whether the connection's turn has time left. Where it has not, the handler stops between
 * two messages and asks to go on. */
bool http2_stream_in_turn(const struct http2_stream *stream);
/** on_turn once, in the connection's next turn. */
void http2_stream_stop(struct http2_stream *stream);

/* ---- receiving ---- */

/** Gives back the window of `len` body bytes that on_data delivered. */
void http2_stream_consume(struct http2_stream *stream, size_t len);

static inline uint32_t http2_stream_id(const struct http2_stream *stream)
{
    return stream->id;
}

#endif
