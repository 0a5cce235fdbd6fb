/* SPDX-License-Identifier: MIT */
/* Writing a connection's output buffer to its socket. */
#ifndef ROSTERD_HTTP2_WRITE_H
#define ROSTERD_HTTP2_WRITE_H

struct http2_conn;

/** Writes the output as far as the socket takes it. Sets conn->writing if the socket does not
 * take all: then nothing more is written until the loop finds the socket writable. */
void http2_write(struct http2_conn *conn);

#endif
