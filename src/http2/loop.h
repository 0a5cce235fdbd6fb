/* SPDX-License-Identifier: MIT */
/*
 * The connection in the event loop: callbacks of its socket, and which connection has the next
 * turn.
 *
 * Every callback begins with loop_enter() and ends with loop_settle(). Settling gives
 * closed streams their on_close, lets waiting streams send, writes, and frees a lost connection. So
 * nothing disappears below a callback that is still running. Output that a handler queues
 * elsewhere, e.g. in a timer, is flushed by http2_context_run() in the same turn of the loop.
 *
 * What a turn (turn.h) leaves undone waits: frames that were carried over, messages in a stream's
 * handler, output. The connection is queued in context->waiting. So is, before each read, a heavy
 * connection: one that has used up a turn lately. All connections in this queue share
 * HTTP2_WAITING_US of each turn of the loop, however many they are. So a request that needs little
 * is answered at once, even among any number of connections that demand as much work as they can.
 *
 * A connection that is not known to be heavy may want much, too. So when HTTP2_OVERS_MAX turns were
 * cut short in one turn of the loop, all others that become readable wait in context->fresh. New
 * TLS connections always wait there, because their first message costs a signature. Turns are given
 * to fresh and waiting connections alternately.
 */
#ifndef ROSTERD_HTTP2_LOOP_H
#define ROSTERD_HTTP2_LOOP_H

#include "http2/conn_state.h"

/** Starts reading a new connection. */
void http2_loop_start(struct http2_conn *conn);

#endif
