/* SPDX-License-Identifier: MIT */
/*
 * How long a connection may live, be idle, be silent or be slow: max_age, max_idle and keepalive as
 * in gRPC's A9, and the time-outs for the handshake and for a complete frame or header block.
 *
 * A connection has one timer for all of these, and requests do not move it. It fires at the
 * earliest moment at which something may be due, looks, and is armed again. While streams are open,
 * an idle time-out cannot be due before max_idle from now.
 */
#ifndef ROSTERD_HTTP2_LIFE_H
#define ROSTERD_HTTP2_LIFE_H

#include <stdbool.h>

#include "http2/conn_state.h"

/** Starts the times of a new connection, and sets the socket's own time-outs. */
void http2_life_begin(struct http2_conn *conn);
/** The connection is open: arms the timer for the times of an open connection. */
void http2_life_open(struct http2_conn *conn);
void http2_life_end(struct http2_conn *conn);
/** Notes whether a frame or header block is incomplete after input was handled.
 * @param progress a whole frame was handled */
void http2_life_partial(struct http2_conn *conn, bool progress);

#endif
