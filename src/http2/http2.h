/* SPDX-License-Identifier: MIT */
/*
 * HTTP/2 server connections (RFC 9113) on libh2o's event loop and frame codec. Request bodies and
 * responses are streamed, and a response ends with trailers. What the streams carry is the
 * handler's business.
 *
 * Everything runs in the one thread of the event loop. conn_state.h lists the modules behind this
 * header.
 */
#ifndef ROSTERD_HTTP2_HTTP2_H
#define ROSTERD_HTTP2_HTTP2_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <h2o.h>
#include <openssl/ssl.h>

#include "base/address_key.h"
#include "base/timer.h"
#include "http2/hpack/http2_field.h"
#include "http2/http2_limits.h"

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

/** One stream; RFC 9113 5.1 seen from the server. Its fields are for http2/ alone, but for conn. */
struct http2_stream {
    struct http2_conn *conn;
    struct http2_stream *hash_next;
    h2o_linklist_t turn; /* in conn->turns while it has something to send; in conn->closed once it
                            is closed */
    uint8_t *pending;    /* body bytes that windows or the output buffer have held back */
    uint32_t pending_len, pending_off, pending_cap;
    h2o_linklist_t stopped; /* in conn->stopped while it waits for the next turn */
    uint32_t id;
    uint32_t held;              /* bytes that http2_stream_hold() has counted */
    int32_t send_window;        /* may be negative after SETTINGS, RFC 9113 6.9.2 */
    uint32_t recv_window;       /* bytes that the peer may still send */
    uint32_t recv_held;         /* bytes delivered to the handler and not consumed yet */
    uint32_t recv_unacked;      /* consumed bytes that no WINDOW_UPDATE has given back yet */
    uint64_t content_length;    /* body bytes still to come; UINT64_MAX: not announced */
    unsigned remote_closed : 1; /* END_STREAM or RST_STREAM has come */
    unsigned local_closed : 1;  /* END_STREAM or RST_STREAM was queued */
    unsigned want_write : 1;    /* on_writable is asked for */
    unsigned closed : 1;        /* on_close is due */
    unsigned reset : 1;         /* one side has reset it */
    uint32_t error;             /* for on_close */
};

enum { HTTP2_NOTE_SIZE = 48 };

/** What the handler has concluded from a request, for the next ones with the same header block. */
struct http2_note {
    _Alignas(max_align_t) uint8_t bytes[HTTP2_NOTE_SIZE];
};

/** A request's header section. All of it is valid during on_request only; what the handler writes
 * to the note stays for the next request with this note. */
struct http2_request {
    h2o_iovec_t method, authority, path; /* base NULL where absent */
    const h2o_header_t *fields;          /* in order; names in lower case */
    size_t num_fields;
    /** NULL, or memory for the handler to write to, zeroed at first. Requests with the same note
     * have the same method, authority, path and fields, at the same addresses. */
    struct http2_note *note;
    uint32_t list_size;    /* as defined by RFC 9113 6.5.2 */
    bool end_stream;       /* there is no body */
    bool fields_too_large; /* the list is over max_header_list_size; fields are missing */
};

/**
 * What a context serves. Callbacks run in the loop's thread and may call any http2_stream_*()
 * function on any stream. A stream's memory is valid until its on_close returns.
 */
struct http2_handler {
    /** Size of the handler's own struct, which begins with a struct http2_stream. Bytes after that
     * member are not zeroed. */
    size_t stream_size;
    void (*on_request)(struct http2_stream *stream, const struct http2_request *request);
    /** Body bytes, valid and writable during the call; `len` may be 0 with `end_stream`. Called
     * with end_stream once at most. Every byte must be given back by http2_stream_consume(), now or
     * later. */
    void (*on_data)(struct http2_stream *stream, uint8_t *data, size_t len, bool end_stream);
    /** The body has ended with a trailer section, which is valid during the call. */
    void (*on_trailers)(struct http2_stream *stream, const h2o_header_t *fields, size_t num_fields);
    /** There is room to send: http2_stream_want_write() has asked for this call. */
    void (*on_writable)(struct http2_stream *stream);
    /** The connection has its next turn: http2_stream_stop() has asked for this call. NULL where
     * the handler never calls that. */
    void (*on_turn)(struct http2_stream *stream);
    /** The stream has ended. The last call for a stream, exactly once for each on_request. Never
     * made from inside a function of this header that the handler calls.
     * @param complete both sides have ended the stream in the regular way
     * @param error where not complete: the peer's or our RST_STREAM code, or
     *   HTTP2_CONNECT_ERROR where the connection was lost */
    void (*on_close)(struct http2_stream *stream, bool complete, uint32_t error);
    void *data; /* the handler's own */
};

/** Settings of all connections of a context. Times are in ms. */
struct http2_settings {
    uint32_t max_concurrent_streams; /* announced; REFUSED_STREAM beyond */
    uint32_t max_header_list_size;   /* announced; bytes as in RFC 9113 6.5.2 */
    uint64_t handshake_timeout;      /* from accept to the end of the first SETTINGS; 0: none */
    uint64_t max_age;                /* age at which GOAWAY "max_age" is sent, +-10 %; 0: none */
    uint64_t max_age_grace;          /* time for running streams after max_age; 0: unlimited */
    uint64_t max_idle;               /* time without a stream until GOAWAY "max_idle"; 0: none */
    uint64_t keepalive_time;         /* time without input until we send PING; 0: never */
    uint64_t keepalive_timeout; /* time for the answer to that PING; then the connection ends */
    uint64_t ping_min_time;     /* minimum between the peer's PINGs; 0: A8's five minutes */
    bool ping_without_streams;  /* ping_min_time also holds while no stream is open */
    uint32_t turn_us;           /* duration of a connection's turn; 0: HTTP2_TURN_US */
    size_t max_memory;          /* bytes that one connection may make us hold; 0: no bound */
    /** Takes a line for the log about a failed TLS handshake, at most ten in a second. May be
     * NULL. */
    void (*note)(const char *line);
};

/** Counters of one context. All only rise, but for those that end in _open. */
struct http2_counts {
    uint64_t connections_accepted, connections_open;
    uint64_t streams_opened, streams_open;
    uint64_t bytes_in, bytes_out;
    uint64_t protocol_errors; /* connections that we have ended by a GOAWAY with an error */
    uint64_t resets_in, resets_out;
    uint64_t tls_failures; /* failed handshakes */
    uint64_t limit_hits[HTTP2_NUM_LIMITS];
};

/** Creates a context, to be freed by http2_context_destroy(). Loop, timers and handler must outlive
 * it; the settings are copied. The caller runs the timers, and calls timers_stale() after each wait
 * of the loop. @return NULL: no memory */
struct http2_context *http2_context_create(h2o_loop_t *loop, struct timers *timers,
                                           const struct http2_handler *handler,
                                           const struct http2_settings *settings);
/** Closes all connections at once (their streams get on_close) and frees the context. */
void http2_context_destroy(struct http2_context *context);
/** To be called in each turn of the loop, after its wait and after the timers. Flushes output that
 * was queued outside of socket callbacks, and gives turns to waiting connections for about
 * HTTP2_WAITING_US. @return true: connections still wait, so the loop must not sleep */
bool http2_context_run(struct http2_context *context);
/** @return true: http2_context_run() has work to do */
bool http2_context_pending(const struct http2_context *context);
/** Ends all connections gracefully: two GOAWAYs (RFC 9113 6.8), and each connection closes after
 * its last stream. A connection in its handshake may complete it within handshake_timeout. */
void http2_context_shutdown(struct http2_context *context);
/** The counters, valid as long as the context. */
const struct http2_counts *http2_context_counts(const struct http2_context *context);
h2o_loop_t *http2_context_loop(const struct http2_context *context);
const struct http2_handler *http2_context_handler(const struct http2_context *context);

/** Takes over a connected socket. Its data is http2's from now on; its on_close stays the caller's.
 * Without memory the socket is closed. */
void http2_accept(struct http2_context *context, h2o_socket_t *sock);
/** Like http2_accept(), with TLS.
 * @param ssl prepared by http2_tls_prepare(). The TLS handshake and the first SETTINGS have
 * handshake_timeout together. */
void http2_accept_tls(struct http2_context *context, h2o_socket_t *sock, SSL_CTX *ssl);
/** Sets what HTTP/2 requires of TLS (RFC 9113 9.2): version 1.2 or later, ALPN h2 and nothing else,
 * its cipher suites, no renegotiation. Occupies the ClientHello and ALPN callbacks.
 * @return false: OpenSSL refuses, which is a fault of the build */
bool http2_tls_prepare(SSL_CTX *ssl);

/** Refuses a connected socket without TLS, instead of http2_accept(): sends GOAWAY
 * ENHANCE_YOUR_CALM with `why` as debug data (at most 100 bytes), as far as the socket takes it at
 * once, and closes the descriptor. */
void http2_refuse(int fd, const char *why);

/* ---- connections ---- */
struct http2_context *http2_conn_context(const struct http2_conn *conn);
/** The peer's address: "127.0.0.1:4711", "[::1]:4711", "unix:" or "unknown". Valid as long as the
 * connection. */
const char *http2_conn_peer(struct http2_conn *conn);
/** The part of the peer's address by which it is counted (base/address_key.h).
 * @return the bytes; 0: there is none, as of a unix socket's peer */
size_t http2_conn_peer_key(const struct http2_conn *conn, uint8_t key[ADDRESS_KEY_MAX]);
/** The subject of the peer's certificate as in RFC 2253, valid as long as the connection.
 * @return NULL: the peer has no certificate */
const char *http2_conn_subject(const struct http2_conn *conn);

/* ---- sending on a stream ---- */

/** Sends the response's header section: once, before any body byte. With end_stream it is the whole
 * response. @param status an HTTP status, 200 to 599 */
void http2_stream_send_headers(struct http2_stream *stream, unsigned status,
                               const struct http2_field *fields, size_t num_fields,
                               bool end_stream);
/**
 * Appends `len` bytes to the body and returns where the caller must write them, at once and before
 * any other call into http2. Only while the response has not ended. Bytes that the windows do not
 * allow to send now wait in the stream (http2_stream_pending()). Small writes of one stream in a
 * row share a DATA frame.
 * @return NULL: max_memory is reached, or there is no memory. Nothing was appended.
 */
uint8_t *http2_stream_reserve(struct http2_stream *stream, size_t len);
/**
 * Sends a body that lies in memory of its own, without copying it where it has to wait. Only while
 * http2_stream_pending() is 0.
 * @param bytes the first `len` bytes of memory from malloc(), which the stream frees
 * @param cap the size of that memory, which http2_stream_hold() has counted; the stream releases it
 */
void http2_stream_give(struct http2_stream *stream, uint8_t *bytes, size_t len, size_t cap);
/** Bytes that could be sent now without waiting in the stream. 0: ask for on_writable. A stream
 * that sends much should send about this much per turn. */
size_t http2_stream_room(const struct http2_stream *stream);
/** Body bytes that wait in the stream. */
static inline size_t http2_stream_pending(const struct http2_stream *stream)
{
    return stream->pending_len - stream->pending_off;
}
/** Asks for one on_writable: when no byte is pending any more, or, where none is pending now, when
 * there is room. Streams get it in turns. */
void http2_stream_want_write(struct http2_stream *stream);
/** Ends the response with a trailer section. Only while http2_stream_pending() is 0. Where the peer
 * has not ended its side, RST_STREAM NO_ERROR follows (RFC 9113 8.1). */
void http2_stream_send_trailers(struct http2_stream *stream, const struct http2_field *fields,
                                size_t num_fields);
/** Ends the response without trailers: END_STREAM is set on the last DATA frame where that is not
 * written yet, else on an empty one. Only while http2_stream_pending() is 0. */
void http2_stream_end(struct http2_stream *stream);
/** Sends RST_STREAM and drops pending bytes. The loop calls on_close later. */
void http2_stream_reset(struct http2_stream *stream, enum http2_error error);

/* ---- what a stream costs: account.h, turn.h ---- */

/** Counts bytes that the handler keeps for the stream, until they are released or the stream ends.
 * @return false: the connection would hold more than max_memory; nothing was counted */
bool http2_stream_hold(struct http2_stream *stream, size_t len);
void http2_stream_release(struct http2_stream *stream, size_t len);
/** How many bytes http2_stream_hold() would take now. */
size_t http2_stream_may_hold(const struct http2_stream *stream);
/** Counts work of the connection's turn: `bytes` that were handled, or as many as would take the
 * same time (about a nanosecond each). */
void http2_stream_work(struct http2_stream *stream, size_t bytes);
/** @return false: the connection's turn is used up. Then the handler should stop between two
 * messages and call http2_stream_stop(). */
bool http2_stream_in_turn(const struct http2_stream *stream);
/** Asks for one on_turn, in the connection's next turn. */
void http2_stream_stop(struct http2_stream *stream);

/* ---- receiving ---- */

/** Gives the peer back the window of `len` body bytes that on_data has delivered. */
void http2_stream_consume(struct http2_stream *stream, size_t len);

#endif
