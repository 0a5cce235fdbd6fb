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
#include <arpa/inet.h>
#include <stdlib.h>

#include "http2/conn.h"

/* ---- the buffer ---- */

static void *new_buffer(struct http2_conn *conn, size_t size)
{
    return size == HTTP2_OUTPUT_SIZE ? http2_spares_take(&conn->context->outputs, size)
                                     : malloc(size);
}

static void free_buffer(struct http2_conn *conn)
{
    struct http2_output *out = &conn->out;
    if (out->cap == HTTP2_OUTPUT_SIZE)
        http2_spares_give(&conn->context->outputs, out->bytes);
    else
        free(out->bytes);
    http2_account_release(conn, out->cap);
}

void http2_out_free(struct http2_conn *conn)
{
    if (conn->out.bytes == NULL)
        return;
    free_buffer(conn);
    conn->out = (struct http2_output){0};
}

/* The slow half of http2_out_put(): what waits moves to the front, or to a larger buffer. */
static bool make_room(struct http2_conn *conn, size_t len)
{
    struct http2_output *out = &conn->out;
    size_t waiting = http2_output_waiting(out);
    size_t cap = out->cap != 0 ? out->cap : HTTP2_OUTPUT_SIZE;
    while (cap - waiting < len)
        cap *= 2;
    uint8_t *bytes = out->bytes;
    if (cap != out->cap) {
        bytes = conn->broken ? NULL : new_buffer(conn, cap);
        if (bytes == NULL)
            return false;
        http2_account_force(conn, cap);
    }
    if (waiting != 0)
        memmove(bytes, out->bytes + out->off, waiting);
    if (conn->data_frame != 0)
        conn->data_frame -= out->off; /* it was not begun before off: a write closes it */
    if (bytes != out->bytes && out->bytes != NULL)
        free_buffer(conn);
    *out = (struct http2_output){.bytes = bytes, .cap = cap, .len = waiting};
    return true;
}

uint8_t *http2_out_put_slowly(struct http2_conn *conn, size_t len)
{
    if (make_room(conn, len))
        return http2_out_put(conn, len);
    conn->broken = 1;
    http2_out_close_data(conn);
    http2_conn_touch(conn);
    return conn->context->sink;
}

/* ---- small frames ---- */

void http2_out_frame(struct http2_conn *conn, uint8_t type, uint8_t flags, uint32_t id,
                     const void *payload, size_t len)
{
    http2_out_close_data(conn);
    uint8_t *dst = http2_out_put(conn, H2O_HTTP2_FRAME_HEADER_SIZE + len);
    dst = h2o_http2_encode_frame_header(dst, len, type, flags, (int32_t)id);
    if (len != 0)
        memcpy(dst, payload, len);
    http2_conn_touch(conn);
}

void http2_out_window_update(struct http2_conn *conn, uint32_t id, uint32_t increment)
{
    uint32_t payload = htonl(increment);
    http2_out_frame(conn, H2O_HTTP2_FRAME_TYPE_WINDOW_UPDATE, 0, id, &payload, sizeof(payload));
}

void http2_out_ping(struct http2_conn *conn, uint8_t flags, const uint8_t data[8])
{
    http2_out_frame(conn, H2O_HTTP2_FRAME_TYPE_PING, flags, 0, data, 8);
}

void http2_out_goaway(struct http2_conn *conn, uint32_t last_id, enum http2_error error,
                      const char *why)
{
    enum { WHY_MAX = 256 };
    uint8_t payload[8 + WHY_MAX];
    size_t len = strnlen(why, WHY_MAX);
    h2o_http2_encode32u(h2o_http2_encode32u(payload, last_id), error);
    memcpy(payload + 8, why, len);
    http2_out_frame(conn, H2O_HTTP2_FRAME_TYPE_GOAWAY, 0, 0, payload, 8 + len);
}

void http2_out_rst_stream(struct http2_conn *conn, uint32_t id, enum http2_error error)
{
    uint32_t payload = htonl(error);
    http2_out_frame(conn, H2O_HTTP2_FRAME_TYPE_RST_STREAM, 0, id, &payload, sizeof(payload));
    conn->context->counts.resets_out++;
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
        http2_out_frame(conn, type, flags, id, block, part);
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
        uint8_t *block = malloc(bound);
        if (block == NULL) {
            conn->broken = 1;
            return;
        }
        size_t len = hpack_encode(&conn->encoder, block, status, fields, num_fields);
        put_block(conn, stream->id, block, len, end_stream);
        free(block);
        return;
    }
    uint8_t *head = http2_out_put(conn, H2O_HTTP2_FRAME_HEADER_SIZE + bound);
    uint8_t *dst = head + H2O_HTTP2_FRAME_HEADER_SIZE;
    size_t len = hpack_encode(&conn->encoder, dst, status, fields, num_fields);
    uint8_t flags =
        H2O_HTTP2_FRAME_FLAG_END_HEADERS | (end_stream ? H2O_HTTP2_FRAME_FLAG_END_STREAM : 0);
    h2o_http2_encode_frame_header(head, len, H2O_HTTP2_FRAME_TYPE_HEADERS, flags,
                                  (int32_t)stream->id);
    if (!conn->broken)
        conn->out.len -= bound - len;
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
    return conn->out.bytes + conn->data_frame - 1;
}

/* The frame that may grow, by len, if there is one of this stream with room. */
static uint8_t *grow_frame(struct http2_conn *conn, struct http2_stream *stream, size_t len)
{
    if (conn->data_frame == 0 || conn->data_stream != stream)
        return NULL;
    size_t has = conn->out.len - (conn->data_frame - 1) - H2O_HTTP2_FRAME_HEADER_SIZE;
    if (has + len > HTTP2_FRAME_MAX)
        return NULL;
    uint8_t *dst = http2_out_put(conn, len); /* may move out */
    if (!conn->broken)
        h2o_http2_encode24u(frame_head(conn), (uint32_t)(has + len));
    return dst;
}

static uint8_t *new_frame(struct http2_conn *conn, struct http2_stream *stream, size_t len)
{
    uint8_t *dst = http2_out_put(conn, H2O_HTTP2_FRAME_HEADER_SIZE + len);
    http2_calm_earn(&conn->calm);
    http2_calm_forgive_pings(&conn->calm);
    if (!conn->broken)
        conn->data_frame = (size_t)(dst - conn->out.bytes) + 1;
    conn->data_stream = stream;
    return h2o_http2_encode_frame_header(dst, len, H2O_HTTP2_FRAME_TYPE_DATA, 0,
                                         (int32_t)stream->id);
}

void http2_stream_drop_pending(struct http2_stream *stream)
{
    free(stream->pending);
    http2_stream_release(stream, stream->pending_cap);
    stream->pending = NULL;
    stream->pending_off = stream->pending_len = stream->pending_cap = 0;
}

/* len bytes of DATA, at most a frame's and within both windows. */
static uint8_t *put_data(struct http2_stream *stream, size_t len)
{
    struct http2_conn *conn = stream->conn;
    stream->send_window -= (int32_t)len;
    conn->send_window -= (int64_t)len;
    conn->budget -= conn->budget < len ? conn->budget : (uint32_t)len;
    http2_turn_spend(conn, (uint32_t)len);
    uint8_t *dst = grow_frame(conn, stream, len);
    return dst != NULL ? dst : new_frame(conn, stream, len);
}

static bool grow_pending(struct http2_stream *stream, size_t len)
{
    size_t waiting = http2_stream_pending(stream), cap = waiting + len;
    /* One message waits mostly alone; where more do, there are as many small ones. */
    if (waiting != 0)
        cap += cap / 2;
    if (cap > UINT32_MAX || !http2_stream_hold(stream, cap))
        return false;
    uint8_t *grown = malloc(cap);
    if (grown == NULL) {
        http2_stream_release(stream, cap);
        return false;
    }
    if (waiting != 0)
        memcpy(grown, stream->pending + stream->pending_off, waiting);
    http2_stream_drop_pending(stream);
    stream->pending = grown;
    stream->pending_cap = (uint32_t)cap;
    stream->pending_len = (uint32_t)waiting;
    return true;
}

static uint8_t *append_pending(struct http2_stream *stream, size_t len)
{
    if (len > stream->pending_cap - stream->pending_len && !grow_pending(stream, len))
        return NULL;
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
        http2_output_waiting(&conn->out) < HTTP2_OUT_MAX)
        return put_data(stream, len);
    return append_pending(stream, len);
}

size_t http2_stream_room(const struct http2_stream *stream)
{
    const struct http2_conn *conn = stream->conn;
    if (stream->local_closed || http2_stream_pending(stream) != 0 || stream->send_window <= 0 ||
        conn->send_window <= 0 || conn->over ||
        http2_output_waiting(&conn->out) >= HTTP2_OUT_TARGET)
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
    if (conn->data_frame != 0) /* else there was no memory */
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
    if (http2_stream_pending(stream) == 0)
        http2_stream_drop_pending(stream);
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
    while (http2_out_may_pump(conn) && http2_output_waiting(&conn->out) < HTTP2_OUT_TARGET)
        take_turn(H2O_STRUCT_FROM_MEMBER(struct http2_stream, turn, conn->turns.next));
    conn->budget = HTTP2_TURN_QUANTUM;
}
