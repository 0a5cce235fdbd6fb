/* SPDX-License-Identifier: MIT */
#include "http2/conn_error.h"

#include <sys/param.h>

#include "http2/out.h"
#include "http2/stream.h"
#include "http2/turn.h"

void http2_conn_lost(struct http2_conn *conn)
{
    if (conn->state == HTTP2_CONN_LOST)
        return;
    conn->state = HTTP2_CONN_LOST;
    http2_streams_lose(conn);
}

void http2_conn_hang_up(struct http2_conn *conn)
{
    if (conn->state >= HTTP2_CONN_CLOSING)
        return;
    conn->state = HTTP2_CONN_CLOSING;
    http2_streams_lose(conn);
    http2_turn_touch(conn);
}

void http2_conn_end(struct http2_conn *conn, enum http2_error error, const char *why)
{
    if (conn->state >= HTTP2_CONN_CLOSING)
        return;
    /* RFC 9113 6.8: a GOAWAY must not name a higher stream than an earlier one did. */
    http2_out_goaway(conn, MIN(conn->last_id, conn->goaway_id), error, why);
    http2_conn_hang_up(conn);
}

void http2_conn_fail(struct http2_conn *conn, enum http2_error error, const char *why)
{
    if (conn->state >= HTTP2_CONN_CLOSING)
        return;
    conn->context->counts.protocol_errors++;
    http2_conn_end(conn, error, why);
}

void http2_conn_fail_decoding(struct http2_conn *conn, int error, const char *why)
{
    bool known = error < 0 && error > -H2O_HTTP2_ERROR_MAX;
    http2_conn_fail(conn, known ? (enum http2_error) - error : HTTP2_PROTOCOL_ERROR,
                    why != NULL ? why : "malformed frame");
}

bool http2_conn_spend(struct http2_conn *conn, int32_t cost, enum http2_limit limit)
{
    if (http2_calm_spend(&conn->calm, cost, timers_now(conn->context->timers)))
        return true;
    if (conn->state < HTTP2_CONN_CLOSING)
        http2_conn_limit(conn, limit);
    http2_conn_fail(conn, HTTP2_ENHANCE_YOUR_CALM, "too many frames that do nothing");
    return false;
}

void http2_stream_fail(struct http2_conn *conn, uint32_t id, enum http2_error error)
{
    if (!http2_conn_spend(conn, HTTP2_COST_RESET, HTTP2_LIMIT_RESETS))
        return;
    struct http2_stream *stream = http2_stream_find(conn, id);
    if (stream != NULL)
        http2_stream_reset(stream, error);
    else
        http2_out_rst_stream(conn, id, error);
}
