/* SPDX-License-Identifier: MIT */
#include "http2/account.h"

#include <assert.h>
#include <sys/param.h>

#include "http2/conn_state.h"

static size_t conn_may_hold(const struct http2_conn *conn)
{
    size_t max = conn->context->settings.max_memory;
    if (max == 0)
        return SIZE_MAX;
    max -= max / 8;
    return conn->held < max ? max - conn->held : 0;
}

bool http2_account_hold(struct http2_conn *conn, size_t len)
{
    if (len > conn_may_hold(conn)) {
        http2_conn_limit(conn, HTTP2_LIMIT_MEMORY);
        return false;
    }
    conn->held += len;
    return true;
}

void http2_account_force(struct http2_conn *conn, size_t len)
{
    conn->held += len;
}

void http2_account_release(struct http2_conn *conn, size_t len)
{
    assert(len <= conn->held);
    conn->held -= len;
}

bool http2_account_may_read(const struct http2_conn *conn)
{
    return http2_output_waiting(&conn->out) + conn->sealed_waiting < HTTP2_OUT_MAX;
}

bool http2_stream_hold(struct http2_stream *stream, size_t len)
{
    if (len > UINT32_MAX - stream->held || !http2_account_hold(stream->conn, len))
        return false;
    stream->held += (uint32_t)len;
    return true;
}

void http2_stream_release(struct http2_stream *stream, size_t len)
{
    assert(len <= stream->held);
    stream->held -= (uint32_t)len;
    http2_account_release(stream->conn, len);
}

size_t http2_stream_may_hold(const struct http2_stream *stream)
{
    size_t left = UINT32_MAX - stream->held;
    return MIN(left, conn_may_hold(stream->conn));
}
