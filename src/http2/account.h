/* SPDX-License-Identifier: MIT */
/*
 * The memory that one connection makes a worker hold, as one number: its output, replies that wait
 * in its streams, the streams themselves, what the handler keeps for them (incomplete messages,
 * metadata), and input that is not handled yet. settings.max_memory bounds the number.
 *
 * Code that can do without the memory calls http2_account_hold() first, and refuses the call when
 * that fails. Memory that must be kept (an answer, input that is not handled yet) is counted
 * unconditionally; it has bounds of its own, and an eighth of max_memory is left for it. A
 * connection whose output waits is not read.
 */
#ifndef ROSTERD_HTTP2_ACCOUNT_H
#define ROSTERD_HTTP2_ACCOUNT_H

#include <stdbool.h>
#include <stddef.h>

struct http2_conn;

/** Counts `len` bytes as held for the connection.
 * @return false: they would exceed the bound, and are not counted */
bool http2_account_hold(struct http2_conn *conn, size_t len);
/** Counts `len` bytes that cannot be refused. */
void http2_account_force(struct http2_conn *conn, size_t len);
/** Takes back what http2_account_hold() or http2_account_force() counted. */
void http2_account_release(struct http2_conn *conn, size_t len);
/** @return true: more input may be read and handled, since less than HTTP2_OUT_MAX of output waits
 */
bool http2_account_may_read(const struct http2_conn *conn);

#endif
