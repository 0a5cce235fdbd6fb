/* SPDX-License-Identifier: MIT */
/*
 * Input of a connection: bytes, the preface, frames that are incomplete or not handled yet.
 *
 * All connections of a context share one input buffer. Bytes that are not handled in the turn that
 * has read them are carried over in memory of the connection's own.
 */
#ifndef ROSTERD_HTTP2_INPUT_H
#define ROSTERD_HTTP2_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http2_conn;

/** Puts what was carried over into the context's input buffer, and reads the socket once behind it.
 * @param len the bytes that are in the buffer then
 * @return false: nothing more will come */
bool http2_input_read(struct http2_conn *conn, size_t *len);
/** Notes that bytes of the peer have come: it is alive. */
void http2_input_came(struct http2_conn *conn);
/** Handles the preface and whole frames. Carries over what is left, and overwrites src. */
void http2_input_handle(struct http2_conn *conn, uint8_t *src, size_t len);
/** Overwrites and frees what was carried over. */
void http2_input_drop(struct http2_conn *conn);
/** Reads and discards input of a CLOSING connection.
 * @return false: the peer has ended its side, or has sent too much */
bool http2_input_discard(struct http2_conn *conn);

#endif
