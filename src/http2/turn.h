/* SPDX-License-Identifier: MIT */
/*
 * Turns: what a connection does before the other connections of its loop are served.
 *
 * A turn ends after HTTP2_TURN_US or after HTTP2_TURN_WORK bytes of work. Work is counted in bytes
 * handled, or in as many bytes as would take the same time (about a nanosecond each). The clock is
 * read each time HTTP2_TURN_LOOK bytes of work are done; the first reading is the beginning of
 * what is measured. So a turn that does little never reads the clock.
 *
 * This module measures a turn and queues connections; loop.c gives the turns.
 */
#ifndef ROSTERD_HTTP2_TURN_H
#define ROSTERD_HTTP2_TURN_H

#include <stdint.h>

#include "http2/conn_state.h"

/** Starts measuring a turn. */
void http2_turn_begin(struct http2_conn *conn);
/** Reads the clock, and ends the turn if its time or its work is used up. */
void http2_turn_look(struct http2_conn *conn);
/** Queues the connection for another turn, unless it is queued already. */
void http2_turn_wait(struct http2_conn *conn);
/** Makes http2_context_run() flush and settle the connection. Needed for changes made outside of
 * the loop's callbacks, e.g. by a timer; does nothing inside a callback. */
void http2_turn_touch(struct http2_conn *conn);

/** Counts `cost` bytes of work. */
static inline void http2_turn_spend(struct http2_conn *conn, uint32_t cost)
{
    conn->turn_used += cost;
    if (conn->turn_used >= conn->turn_look)
        http2_turn_look(conn);
}

#endif
