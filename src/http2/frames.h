/* SPDX-License-Identifier: MIT */
/* Every frame of RFC 9113 6 as a server receives it, and the scope of each error. */
#ifndef ROSTERD_HTTP2_FRAMES_H
#define ROSTERD_HTTP2_FRAMES_H

#include <stddef.h>
#include <stdint.h>

struct http2_conn;

/** Handles the whole frames in src, until the turn is over or output must be read first (then
 * conn->unhandled is set), or the connection fails. @return bytes used */
size_t http2_frames_handle(struct http2_conn *conn, uint8_t *src, size_t len);

#endif
