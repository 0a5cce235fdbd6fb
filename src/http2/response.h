/* SPDX-License-Identifier: MIT */
/*
 * Sending on streams: header sections, bodies under flow control, trailers. Implements the
 * http2_stream_*() functions of http2.h that send.
 *
 * Body bytes go straight into the connection's output buffer while both windows and the buffer have
 * room. The last DATA frame grows until something else follows it, so many small messages share a
 * frame. Bytes without room wait in their stream. Waiting streams are in one queue and send a
 * quantum per turn; a stream whose own window is closed leaves the queue until the window opens.
 */
#ifndef ROSTERD_HTTP2_RESPONSE_H
#define ROSTERD_HTTP2_RESPONSE_H

#include "http2/conn_state.h"

/** Queues a stream that has something to send. */
void http2_response_enqueue(struct http2_stream *stream);
/** Lets the queued streams send, one after the other, while windows and buffer have room. */
void http2_response_pump(struct http2_conn *conn);

/** @return true: a stream is queued that may send now */
static inline bool http2_response_may_pump(const struct http2_conn *conn)
{
    return !http2_list_empty(&conn->turns) && conn->send_window > 0 && !conn->over &&
           conn->state < HTTP2_CONN_CLOSING;
}

#endif
