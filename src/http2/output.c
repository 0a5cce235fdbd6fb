/* SPDX-License-Identifier: MIT */
/*
 * Sending: header sections, bodies under flow control, turns.
 *
 * Body bytes go straight into the connection's output buffer while both
 * windows and the buffer have room: the last DATA frame grows as long as
 * nothing else follows it, so that many small messages share a frame. What has
 * no room waits in its stream. Streams that wait stand in one queue and send a
 * quantum a turn; a stream whose own window is closed leaves the queue until
 * it opens.
 */
#include "http2/conn.h"

#include <stdlib.h>
#include <string.h>

uint8_t *http2_out_room(struct http2_conn *conn, size_t len)
{
    h2o_buffer_t *out = conn->out;
    if (out->bytes != NULL && out->capacity - out->size - (size_t)(out->bytes - out->_buf) >= len)
        return (uint8_t *)out->bytes + out->size;
    return (uint8_t *)h2o_buffer_reserve(&conn->out, len).base;
}

void http2_out_rst_stream(struct http2_conn *conn, uint32_t id, enum http2_error error)
{
    http2_out_close_data(conn);
    h2o_http2__encode_rst_stream_frame(&conn->out, id, (int)error);
    conn->context->counts.resets_out++;
    http2_conn_touch(conn);
}

/* ---- header sections ---- */

static void put_block(struct http2_conn *conn, uint32_t id, const uint8_t *block, size_t len,
                      bool end_stream)
{
    uint8_t type = H2O_HTTP2_FRAME_TYPE_HEADERS;
    uint8_t flags = end_stream ? H2O_HTTP2_FRAME_FLAG_END_STREAM : 0;
    do {
        size_t part = len < HTTP2_FRAME_MAX ? len : HTTP2_FRAME_MAX;
        if (part == len)
            flags |= H2O_HTTP2_FRAME_FLAG_END_HEADERS;
        uint8_t *dst = http2_out_room(conn, H2O_HTTP2_FRAME_HEADER_SIZE + part);
        dst = h2o_http2_encode_frame_header(dst, part, type, flags, (int32_t)id);
        memcpy(dst, block, part);
        conn->out->size += H2O_HTTP2_FRAME_HEADER_SIZE + part;
        block += part;
        len -= part;
        type = H2O_HTTP2_FRAME_TYPE_CONTINUATION;
        flags = 0;
    } while (len != 0);
}

static void send_block(struct http2_stream *stream, unsigned status,
                       const struct http2_field *fields, size_t num_fields, bool end_stream)
{
    struct http2_conn *conn = stream->conn;
    size_t bound = hpack_encode_bound(fields, num_fields);
    http2_out_close_data(conn);
    http2_calm_forgive_pings(&conn->calm);
    if (end_stream)
        http2_calm_earn(&conn->calm);
    if (bound > HTTP2_FRAME_MAX) {
        uint8_t *block = h2o_mem_alloc(bound);
        size_t len = hpack_encode(&conn->encoder, block, status, fields, num_fields);
        put_block(conn, stream->id, block, len, end_stream);
        free(block);
        return;
    }
    uint8_t *head = http2_out_room(conn, H2O_HTTP2_FRAME_HEADER_SIZE + bound);
    uint8_t *dst = head + H2O_HTTP2_FRAME_HEADER_SIZE;
    size_t len = hpack_encode(&conn->encoder, dst, status, fields, num_fields);
    uint8_t flags =
        H2O_HTTP2_FRAME_FLAG_END_HEADERS | (end_stream ? H2O_HTTP2_FRAME_FLAG_END_STREAM : 0);
    h2o_http2_encode_frame_header(head, len, H2O_HTTP2_FRAME_TYPE_HEADERS, flags,
                                  (int32_t)stream->id);
    conn->out->size += H2O_HTTP2_FRAME_HEADER_SIZE + len;
}

/* END_STREAM is out. A peer that still sends is told to stop, without blame (RFC 9113 8.1). */
static void end_local(struct http2_stream *stream)
{
    stream->local_closed = 1;
    if (!stream->remote_closed) {
        http2_out_rst_stream(stream->conn, stream->id, HTTP2_NO_ERROR);
        http2_closed_set(stream->conn, stream->id, HTTP2_CLOSED_BY_US);
        stream->remote_closed = 1;
    }
    http2_stream_closed(stream);
}

void http2_stream_send_headers(struct http2_stream *stream, unsigned status,
                               const struct http2_field *fields, size_t num_fields, bool end_stream)
{
    assert(!stream->local_closed);
    send_block(stream, status, fields, num_fields, end_stream);
    if (end_stream)
        end_local(stream);
    http2_conn_touch(stream->conn);
}

void http2_stream_send_trailers(struct http2_stream *stream, const struct http2_field *fields,
                                size_t num_fields)
{
    assert(!stream->local_closed && http2_stream_pending(stream) == 0);
    send_block(stream, 0, fields, num_fields, true);
    end_local(stream);
    http2_conn_touch(stream->conn);
}

/* ---- bodies ---- */

static uint8_t *frame_head(struct http2_conn *conn)
{
    return (uint8_t *)conn->out->bytes + conn->data_frame - 1;
}

/* The frame that may grow, by len, if there is one of this stream with room. */
static uint8_t *grow_frame(struct http2_conn *conn, struct http2_stream *stream, size_t len)
{
    if (conn->data_frame == 0 || conn->data_stream != stream)
        return NULL;
    size_t has = conn->out->size - (conn->data_frame - 1) - H2O_HTTP2_FRAME_HEADER_SIZE;
    if (has + len > HTTP2_FRAME_MAX)
        return NULL;
    uint8_t *dst = http2_out_room(conn, len); /* may move out */
    h2o_http2_encode24u(frame_head(conn), (uint32_t)(has + len));
    conn->out->size += len;
    return dst;
}

static uint8_t *new_frame(struct http2_conn *conn, struct http2_stream *stream, size_t len)
{
    uint8_t *dst = http2_out_room(conn, H2O_HTTP2_FRAME_HEADER_SIZE + len);
    http2_calm_earn(&conn->calm);
    http2_calm_forgive_pings(&conn->calm);
    conn->data_frame = conn->out->size + 1;
    conn->data_stream = stream;
    conn->out->size += H2O_HTTP2_FRAME_HEADER_SIZE + len;
    return h2o_http2_encode_frame_header(dst, len, H2O_HTTP2_FRAME_TYPE_DATA, 0,
                                         (int32_t)stream->id);
}

/* len bytes of DATA, at most a frame's and within both windows. */
static uint8_t *put_data(struct http2_stream *stream, size_t len)
{
    struct http2_conn *conn = stream->conn;
    stream->send_window -= (int32_t)len;
    conn->send_window -= (int64_t)len;
    conn->budget -= conn->budget < len ? conn->budget : (uint32_t)len;
    uint8_t *dst = grow_frame(conn, stream, len);
    return dst != NULL ? dst : new_frame(conn, stream, len);
}

static uint8_t *append_pending(struct http2_stream *stream, size_t len)
{
    size_t waiting = http2_stream_pending(stream);
    if (stream->pending_len + len > stream->pending_cap) {
        size_t cap = (waiting + len) * 2;
        uint8_t *grown = h2o_mem_alloc(cap);
        if (waiting != 0)
            memcpy(grown, stream->pending + stream->pending_off, waiting);
        free(stream->pending);
        stream->pending = grown;
        stream->pending_cap = (uint32_t)cap;
        stream->pending_off = 0;
        stream->pending_len = (uint32_t)waiting;
    }
    uint8_t *dst = stream->pending + stream->pending_len;
    stream->pending_len += (uint32_t)len;
    http2_out_enqueue(stream);
    return dst;
}

uint8_t *http2_stream_reserve(struct http2_stream *stream, size_t len)
{
    struct http2_conn *conn = stream->conn;
    assert(!stream->local_closed);
    http2_conn_touch(conn);
    if (http2_stream_pending(stream) == 0 && len <= HTTP2_FRAME_MAX &&
        (int64_t)len <= stream->send_window && (int64_t)len <= conn->send_window &&
        conn->out->size < HTTP2_OUT_MAX)
        return put_data(stream, len);
    return append_pending(stream, len);
}

size_t http2_stream_room(const struct http2_stream *stream)
{
    const struct http2_conn *conn = stream->conn;
    if (stream->local_closed || http2_stream_pending(stream) != 0 || stream->send_window <= 0 ||
        conn->send_window <= 0 || conn->out->size >= HTTP2_OUT_TARGET)
        return 0;
    size_t room = (size_t)stream->send_window;
    if ((size_t)conn->send_window < room)
        room = (size_t)conn->send_window;
    if (conn->busy != 0 && conn->budget < room)
        room = conn->budget;
    return room;
}

void http2_out_enqueue(struct http2_stream *stream)
{
    if (stream->closed || h2o_linklist_is_linked(&stream->turn))
        return;
    h2o_linklist_insert(&stream->conn->turns, &stream->turn);
    http2_conn_touch(stream->conn);
}

void http2_stream_want_write(struct http2_stream *stream)
{
    stream->want_write = 1;
    http2_out_enqueue(stream);
}

void http2_stream_end(struct http2_stream *stream)
{
    struct http2_conn *conn = stream->conn;
    assert(!stream->local_closed && http2_stream_pending(stream) == 0);
    if (conn->data_frame == 0 || conn->data_stream != stream)
        new_frame(conn, stream, 0);
    frame_head(conn)[4] |= H2O_HTTP2_FRAME_FLAG_END_STREAM;
    http2_out_close_data(conn);
    end_local(stream);
}

void http2_stream_reset(struct http2_stream *stream, enum http2_error error)
{
    if (stream->closed)
        return;
    http2_out_rst_stream(stream->conn, stream->id, error);
    http2_closed_set(stream->conn, stream->id, HTTP2_CLOSED_BY_US);
    stream->local_closed = stream->remote_closed = 1;
    stream->reset = 1;
    stream->error = (uint32_t)error;
    http2_stream_closed(stream);
}

/* ---- turns ---- */

static void send_pending(struct http2_stream *stream)
{
    struct http2_conn *conn = stream->conn;
    size_t len = http2_stream_pending(stream);
    if (len > HTTP2_TURN_QUANTUM)
        len = HTTP2_TURN_QUANTUM;
    if ((int64_t)len > stream->send_window)
        len = (size_t)stream->send_window;
    if ((int64_t)len > conn->send_window)
        len = (size_t)conn->send_window;
    memcpy(put_data(stream, len), stream->pending + stream->pending_off, len);
    stream->pending_off += (uint32_t)len;
    if (http2_stream_pending(stream) != 0)
        return;
    free(stream->pending);
    stream->pending = NULL;
    stream->pending_off = stream->pending_len = stream->pending_cap = 0;
}

/* One stream's turn. It leaves the queue, and comes back at its end where it has more to send;
 * where its window is closed, the WINDOW_UPDATE puts it back. */
static void take_turn(struct http2_stream *stream)
{
    struct http2_conn *conn = stream->conn;
    h2o_linklist_unlink(&stream->turn);
    if (stream->send_window <= 0)
        return;
    conn->budget = HTTP2_TURN_QUANTUM;
    if (http2_stream_pending(stream) != 0) {
        send_pending(stream);
        if (http2_stream_pending(stream) != 0) {
            http2_out_enqueue(stream);
            return;
        }
    }
    if (stream->want_write) {
        stream->want_write = 0;
        conn->context->handler->on_writable(stream);
    }
}

void http2_out_pump(struct http2_conn *conn)
{
    while (!h2o_linklist_is_empty(&conn->turns) && conn->out->size < HTTP2_OUT_TARGET &&
           conn->send_window > 0)
        take_turn(H2O_STRUCT_FROM_MEMBER(struct http2_stream, turn, conn->turns.next));
    conn->budget = HTTP2_TURN_QUANTUM;
}
