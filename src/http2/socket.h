/* SPDX-License-Identifier: MIT */
/*
 * The system calls on a connection's socket, and the transport of a plain connection.
 *
 * libh2o only watches the socket. Reading and writing are done here: one read of a shared buffer
 * per turn, no buffer for an idle connection, and the bytes of a secret lie in one place, where
 * they are overwritten when they have been handled.
 */
#ifndef ROSTERD_HTTP2_SOCKET_H
#define ROSTERD_HTTP2_SOCKET_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "http2/conn_state.h"
#include "http2/transport.h"

/** @return bytes read; 0: none are there now; -1: nothing more will come */
ssize_t http2_socket_read(struct http2_conn *conn, uint8_t *dst, size_t room);
/** @return bytes that the socket took, perhaps 0; -1: the socket is broken */
ssize_t http2_socket_write(struct http2_conn *conn, const uint8_t *bytes, size_t len);

/** HTTP/2 on the socket without TLS. */
extern const struct http2_transport http2_socket_transport;

#endif
