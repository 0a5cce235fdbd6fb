/* SPDX-License-Identifier: MIT */
/* Creation and destruction of a connection. */
#ifndef ROSTERD_HTTP2_CONN_H
#define ROSTERD_HTTP2_CONN_H

#include "http2/conn_state.h"

/** Makes a connection on a connected socket, which it owns then: sock->data is the connection. The
 * caller then starts reading (http2_loop_start()).
 * @return NULL: no memory, and the socket is closed */
struct http2_conn *http2_conn_create(struct http2_context *context, h2o_socket_t *sock);
/** Frees the connection at once. Its streams get on_close. */
void http2_conn_destroy(struct http2_conn *conn);

#endif
