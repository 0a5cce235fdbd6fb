/* SPDX-License-Identifier: MIT */
/*
 * What one connection makes us hold, in one number: its output, the replies that wait in its
 * streams, the streams themselves, what the handler keeps for them (halves of messages,
 * metadata), and input that is not handled yet. It is bounded by settings.max_memory.
 *
 * Who can do without the memory asks first, and refuses the call. What must be kept (an answer,
 * input that is not handled yet) is counted all the same; it has bounds of its own, for which an
 * eighth is left. A connection whose output waits is not read.
 */
#include <stdlib.h>

#include "http2/conn.h"

bool http2_account_hold(struct http2_conn *conn, size_t len)
{
    size_t max = conn->context->settings.max_memory;
    max -= max / 8;
    if (max != 0 && (conn->held > max || len > max - conn->held)) {
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
    size_t output = http2_output_waiting(&conn->out);
    if (conn->tls != NULL)
        output += http2_tls_waiting(conn);
    return output < HTTP2_OUT_MAX;
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

/* ---- spares ---- */

void *http2_spares_take(struct http2_spares *spares, size_t size)
{
    void *memory = spares->first;
    if (memory == NULL)
        return malloc(size);
    memcpy(&spares->first, memory, sizeof(void *));
    spares->count--;
    return memory;
}

void http2_spares_give(struct http2_spares *spares, void *memory)
{
    if (spares->count == spares->max) {
        free(memory);
        return;
    }
    memcpy(memory, &spares->first, sizeof(void *));
    spares->first = memory;
    spares->count++;
}

void http2_spares_free(struct http2_spares *spares)
{
    spares->max = 0;
    while (spares->first != NULL)
        free(http2_spares_take(spares, 0));
}
