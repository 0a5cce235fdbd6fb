/* SPDX-License-Identifier: MIT */
/*
 * The end of a connection: two GOAWAYs (RFC 9113 6.8), the last stream, the last bytes.
 *
 *   phase      what has happened                  what moves it on
 *   NONE       nothing; the connection serves     http2_drain_begin() -> DUE
 *   DUE        a drain was asked for              a stream opens, or HTTP2_QUIET_MS pass on an open
 *                                                 connection without a stream -> ANNOUNCED
 *   ANNOUNCED  a PING was sent, and a GOAWAY      the PING's ACK, or HTTP2_LINGER_MS -> FINAL
 *              with the highest stream id, which
 *              refuses nothing
 *   FINAL      a GOAWAY with the last stream      the last stream closes -> LINGERING
 *              that is served was sent
 *   LINGERING  the state is CLOSING; the last     all is written -> SHUT;
 *              output is being written            HTTP2_LINGER_MS -> destroyed
 *   SHUT       our side of the socket is shut     the peer's FIN, or the rest of
 *              down                               HTTP2_LINGER_MS -> destroyed
 *
 * A connection error leads from each phase to LINGERING. The phase only ever rises. One timer,
 * conn->drain_timer, runs in DUE, ANNOUNCED, LINGERING and SHUT, and its meaning is the phase's.
 *
 * Why the first GOAWAY waits in DUE: it must not meet a client at a bad moment. During its
 * handshake a client takes a close for a server that cannot be reached, and fails the calls that
 * wait; so the client may complete the handshake first, within handshake_timeout, because grpcio
 * leaves a handshake unfinished until its next call. A client without a stream may be about to open
 * one: grpc-go 1.34 then retries the call on the same connection, and the call fails. A client with
 * an open stream is safe from both.
 *
 * Why the socket is shut down and not closed: to close it over unread input would make the kernel
 * send a reset, and the peer would lose the last output.
 */
#ifndef ROSTERD_HTTP2_DRAIN_H
#define ROSTERD_HTTP2_DRAIN_H

#include "http2/conn_state.h"

/** Sets up the timer of a new connection. */
void http2_drain_init(struct http2_conn *conn);
/** Disarms the timer. */
void http2_drain_dispose(struct http2_conn *conn);

/** Requests a graceful end. Does nothing if one was requested already.
 * @param why GOAWAY's debug data, a static string; may be empty */
void http2_drain_begin(struct http2_conn *conn, const char *why);
/** The handshake has ended: the connection is open. */
void http2_drain_conn_opened(struct http2_conn *conn);
/** A stream was opened. To be called before anything is written to it. */
void http2_drain_stream_opened(struct http2_conn *conn);
/** The ACK of the PING has come that followed the first GOAWAY. */
void http2_drain_acknowledged(struct http2_conn *conn);
/** Writes the end of a CLOSING connection. To be called after each write, until the connection is
 * destroyed. */
void http2_drain_linger(struct http2_conn *conn);

#endif
