/* SPDX-License-Identifier: MIT */
/*
 * How errors end a connection or a stream (RFC 9113 5.4), and what counts towards limits.
 *
 * A connection that has failed is CLOSING: it handles no more input, its streams get on_close, and
 * its last output is written by the loop (drain.h: lingering). The functions do nothing for a
 * connection that is CLOSING already.
 */
#ifndef ROSTERD_HTTP2_CONN_ERROR_H
#define ROSTERD_HTTP2_CONN_ERROR_H

#include <stdbool.h>
#include <stdint.h>

#include "http2/conn_state.h"

/** A connection error that the peer has caused: GOAWAY, then the connection closes.
 * @param why GOAWAY's debug data */
void http2_conn_fail(struct http2_conn *conn, enum http2_error error, const char *why);
/** Like http2_conn_fail(), for an error of libh2o's decoders of frames.
 * @param error -1 times a code of RFC 9113 7 @param why may be NULL */
void http2_conn_fail_decoding(struct http2_conn *conn, int error, const char *why);
/** Like http2_conn_fail(), for an end that is not the peer's fault: counts no protocol error. */
void http2_conn_end(struct http2_conn *conn, enum http2_error error, const char *why);
/** Closes the connection without a GOAWAY, which the peer would not read. Output that was queued
 * before is still written. */
void http2_conn_hang_up(struct http2_conn *conn);
/** The socket is broken or not wanted any more: the connection is destroyed at the end of the
 * running callback. Outside of a callback, call http2_turn_touch() as well. */
void http2_conn_lost(struct http2_conn *conn);

/** Takes the cost of a frame that achieves nothing from the peer's credit (calm.h). If the credit
 * is used up, counts `limit` and fails the connection.
 * @return false: the connection has failed */
bool http2_conn_spend(struct http2_conn *conn, int32_t cost, enum http2_limit limit);

/** A stream error: RST_STREAM, and on_close if the stream is open. Costs as much credit as a reset
 * by the peer, because the peer has caused it. */
void http2_stream_fail(struct http2_conn *conn, uint32_t id, enum http2_error error);

#endif
