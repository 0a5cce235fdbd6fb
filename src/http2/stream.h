/* SPDX-License-Identifier: MIT */
/*
 * The streams of a connection: the table of open streams, how they open and close, receive windows.
 *
 * An open stream is in the table. http2_stream_closed() takes it out and queues it; its memory and
 * its on_close wait for http2_streams_reap(), so that no stream disappears below a function that
 * uses it.
 */
#ifndef ROSTERD_HTTP2_STREAM_H
#define ROSTERD_HTTP2_STREAM_H

#include <stddef.h>
#include <stdint.h>

#include "http2/conn_state.h"

/* How a stream was closed. Decides what a late frame on it means (RFC 9113 5.1). */
enum http2_closed {
    HTTP2_CLOSED_ENDED = 0,   /* both sides ended it */
    HTTP2_CLOSED_BY_US = 1,   /* we sent RST_STREAM */
    HTTP2_CLOSED_BY_PEER = 2, /* the peer sent RST_STREAM */
    HTTP2_CLOSED_SKIPPED = 3, /* a higher id was opened first, RFC 9113 5.1.1 */
};

/** @return the open stream with this id; NULL: none is open */
struct http2_stream *http2_stream_find(struct http2_conn *conn, uint32_t id);
/** Opens a stream; the id is new. @return NULL: no memory, or max_memory is reached */
struct http2_stream *http2_stream_open(struct http2_conn *conn, uint32_t id);
/** Both sides have ended the stream, or one has reset it: on_close is due. Does nothing for a
 * stream that is closed already. */
void http2_stream_closed(struct http2_stream *stream);
/** Calls on_close for each closed stream and frees it. */
void http2_streams_reap(struct http2_conn *conn);
/** The connection is lost: closes all streams with HTTP2_CONNECT_ERROR. */
void http2_streams_lose(struct http2_conn *conn);

/** @param id of a stream that is not idle and not open */
enum http2_closed http2_closed_get(const struct http2_conn *conn, uint32_t id);
void http2_closed_set(struct http2_conn *conn, uint32_t id, enum http2_closed how);

/** Gives `len` bytes of the connection's receive window back to the peer, in portions of half the
 * window. */
void http2_conn_credit(struct http2_conn *conn, size_t len);

#endif
