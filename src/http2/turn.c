/* SPDX-License-Identifier: MIT */
#include "http2/turn.h"

#include "base/clock.h"

void http2_turn_begin(struct http2_conn *conn)
{
    conn->over = 0;
    conn->turn_used = 0;
    conn->turn_look = HTTP2_TURN_LOOK;
    conn->turn_began_ns = 0;
    conn->written = 0;
}

void http2_turn_look(struct http2_conn *conn)
{
    uint32_t turn_us = conn->context->settings.turn_us;
    uint64_t now = clock_monotonic_ns();
    uint64_t ns = UINT64_C(1000) * (turn_us != 0 ? turn_us : HTTP2_TURN_US);
    conn->turn_look = conn->turn_used + HTTP2_TURN_LOOK;
    if (conn->busy == 0)
        return; /* work that a timer started belongs to no turn */
    if (conn->turn_began_ns == 0)
        conn->turn_began_ns = now;
    if (conn->over || (now - conn->turn_began_ns < ns && conn->turn_used < HTTP2_TURN_WORK))
        return;
    conn->over = 1;
    conn->context->overs++;
    conn->heavy_until_ms = timers_now(conn->context->timers) + HTTP2_HEAVY_MS;
    http2_conn_limit(conn, HTTP2_LIMIT_TURN);
}

void http2_turn_wait(struct http2_conn *conn)
{
    if (!h2o_linklist_is_linked(&conn->waiting))
        h2o_linklist_insert(&conn->context->waiting, &conn->waiting);
}

void http2_turn_touch(struct http2_conn *conn)
{
    if (conn->busy == 0 && !h2o_linklist_is_linked(&conn->touched))
        h2o_linklist_insert(&conn->context->touched, &conn->touched);
}

/* ---- the handler's functions ---- */

void http2_stream_work(struct http2_stream *stream, size_t bytes)
{
    http2_turn_spend(stream->conn, bytes < HTTP2_TURN_WORK ? (uint32_t)bytes : HTTP2_TURN_WORK);
}

bool http2_stream_in_turn(const struct http2_stream *stream)
{
    return !stream->conn->over;
}

void http2_stream_stop(struct http2_stream *stream)
{
    if (stream->closed || h2o_linklist_is_linked(&stream->stopped))
        return;
    h2o_linklist_insert(&stream->conn->stopped, &stream->stopped);
    http2_turn_wait(stream->conn);
}
