/* SPDX-License-Identifier: MIT */
#include "http2/response.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#include "base/container_of.h"
#include "http2/account.h"
#include "http2/out.h"
#include "http2/stream.h"
#include "http2/turn.h"

/* ---- header sections ---- */

/* A block that does not fit into one frame: HEADERS, then CONTINUATION. */
static void put_long_block(struct http2_conn *conn, uint32_t id, const uint8_t *block, size_t len,
                           bool end_stream)
{
    uint8_t type = H2O_HTTP2_FRAME_TYPE_HEADERS;
    uint8_t flags = end_stream ? H2O_HTTP2_FRAME_FLAG_END_STREAM : 0;
    do {
        size_t part = MIN(len, (size_t)HTTP2_FRAME_MAX);
        if (part == len)
            flags |= H2O_HTTP2_FRAME_FLAG_END_HEADERS;
        http2_out_frame(conn, type, flags, id, block, part);
        block += part;
        len -= part;
        type = H2O_HTTP2_FRAME_TYPE_CONTINUATION;
        flags = 0;
    } while (len != 0);
}

/* @return false: it is not a block of hpack_encode_known() */
static bool put_known_block(struct http2_conn *conn, uint32_t id, unsigned status,
                            const struct http2_field *field, uint8_t flags)
{
    uint8_t block[HPACK_KNOWN_MAX];
    size_t len = hpack_encode_known(&conn->encoder, block, status, field);
    if (len == 0)
        return false;
    uint8_t *dst = http2_out_put(conn, H2O_HTTP2_FRAME_HEADER_SIZE + len);
    dst = http2_out_head(dst, len, H2O_HTTP2_FRAME_TYPE_HEADERS, flags, id);
    memcpy(dst, block, len);
    return true;
}

static void send_block(struct http2_stream *stream, unsigned status,
                       const struct http2_field *fields, size_t num_fields, bool end_stream)
{
    struct http2_conn *conn = stream->conn;
    uint8_t flags =
        H2O_HTTP2_FRAME_FLAG_END_HEADERS | (end_stream ? H2O_HTTP2_FRAME_FLAG_END_STREAM : 0);
    http2_out_close_data(conn);
    http2_calm_forgive_pings(&conn->calm);
    if (end_stream)
        http2_calm_earn(&conn->calm);
    if (num_fields == 1 && (status == 0 || status == 200) &&
        put_known_block(conn, stream->id, status, fields, flags))
        return;
    size_t bound = hpack_encode_bound(fields, num_fields);
    if (bound > HTTP2_FRAME_MAX) {
        uint8_t *block = malloc(bound);
        if (block == NULL) {
            conn->out_failed = 1;
            return;
        }
        size_t len = hpack_encode(&conn->encoder, block, status, fields, num_fields);
        put_long_block(conn, stream->id, block, len, end_stream);
        free(block);
        return;
    }
    uint8_t *head = http2_out_put(conn, H2O_HTTP2_FRAME_HEADER_SIZE + bound);
    uint8_t *dst = head + H2O_HTTP2_FRAME_HEADER_SIZE;
    size_t len = hpack_encode(&conn->encoder, dst, status, fields, num_fields);
    assert(len <= bound);
    http2_out_head(head, len, H2O_HTTP2_FRAME_TYPE_HEADERS, flags, stream->id);
    if (!conn->out_failed)
        conn->out.len -= bound - len;
}

/* END_STREAM is queued. If the peer has not ended its side, RST_STREAM NO_ERROR tells it to stop
 * sending (RFC 9113 8.1). */
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
    http2_turn_touch(stream->conn);
}

void http2_stream_send_trailers(struct http2_stream *stream, const struct http2_field *fields,
                                size_t num_fields)
{
    assert(!stream->local_closed && http2_stream_pending(stream) == 0);
    send_block(stream, 0, fields, num_fields, true);
    end_local(stream);
    http2_turn_touch(stream->conn);
}

/* ---- bodies ---- */

static uint8_t *data_frame_head(struct http2_conn *conn)
{
    return conn->out.bytes + conn->data_frame - 1;
}

/* Extends the DATA frame that may grow by len bytes.
 * @return NULL: there is none of this stream that has room */
static uint8_t *grow_data_frame(struct http2_conn *conn, struct http2_stream *stream, size_t len)
{
    if (conn->data_frame == 0 || conn->data_stream != stream)
        return NULL;
    size_t has = conn->out.len - (conn->data_frame - 1) - H2O_HTTP2_FRAME_HEADER_SIZE;
    if (has + len > HTTP2_FRAME_MAX)
        return NULL;
    uint8_t *dst = http2_out_put(conn, len); /* may move the buffer */
    if (!conn->out_failed)
        h2o_http2_encode24u(data_frame_head(conn), (uint32_t)(has + len));
    return dst;
}

static uint8_t *new_data_frame(struct http2_conn *conn, struct http2_stream *stream, size_t len)
{
    uint8_t *dst = http2_out_put(conn, H2O_HTTP2_FRAME_HEADER_SIZE + len);
    http2_calm_earn(&conn->calm);
    http2_calm_forgive_pings(&conn->calm);
    if (!conn->out_failed)
        conn->data_frame = (size_t)(dst - conn->out.bytes) + 1;
    conn->data_stream = stream;
    return http2_out_head(dst, len, H2O_HTTP2_FRAME_TYPE_DATA, 0, stream->id);
}

static void drop_pending(struct http2_stream *stream)
{
    free(stream->pending);
    http2_stream_release(stream, stream->pending_cap);
    stream->pending = NULL;
    stream->pending_off = stream->pending_len = stream->pending_cap = 0;
}

/* Appends len bytes of DATA: at most one frame, and within both windows. */
static uint8_t *put_data(struct http2_stream *stream, size_t len)
{
    struct http2_conn *conn = stream->conn;
    stream->send_window -= (int32_t)len;
    conn->send_window -= (int64_t)len;
    conn->budget -= conn->budget < len ? conn->budget : (uint32_t)len;
    uint8_t *dst = grow_data_frame(conn, stream, len);
    return dst != NULL ? dst : new_data_frame(conn, stream, len);
}

static bool grow_pending(struct http2_stream *stream, size_t len)
{
    size_t waiting = http2_stream_pending(stream), cap = waiting + len;
    /* Usually one message waits alone. If several wait, they are small and more follow. */
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
    drop_pending(stream);
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
    http2_response_enqueue(stream);
    return dst;
}

/* Whether a body's bytes can follow what is written, in one frame. */
static bool goes_out_now(const struct http2_stream *stream, size_t len)
{
    const struct http2_conn *conn = stream->conn;
    return http2_stream_pending(stream) == 0 && len <= HTTP2_FRAME_MAX &&
           (int64_t)len <= stream->send_window && (int64_t)len <= conn->send_window &&
           http2_output_waiting(&conn->out) < HTTP2_OUT_MAX;
}

uint8_t *http2_stream_reserve(struct http2_stream *stream, size_t len)
{
    assert(!stream->local_closed);
    http2_turn_touch(stream->conn);
    return goes_out_now(stream, len) ? put_data(stream, len) : append_pending(stream, len);
}

void http2_stream_give(struct http2_stream *stream, uint8_t *bytes, size_t len, size_t cap)
{
    assert(!stream->local_closed && http2_stream_pending(stream) == 0 && len <= cap);
    http2_turn_touch(stream->conn);
    if (goes_out_now(stream, len)) {
        memcpy(put_data(stream, len), bytes, len);
        free(bytes);
        http2_stream_release(stream, cap);
        return;
    }
    drop_pending(stream);
    stream->pending = bytes;
    stream->pending_cap = (uint32_t)cap;
    stream->pending_len = (uint32_t)len;
    http2_response_enqueue(stream);
}

size_t http2_stream_room(const struct http2_stream *stream)
{
    const struct http2_conn *conn = stream->conn;
    if (stream->local_closed || http2_stream_pending(stream) != 0 || stream->send_window <= 0 ||
        conn->send_window <= 0 || conn->over ||
        http2_output_waiting(&conn->out) >= HTTP2_OUT_TARGET)
        return 0;
    size_t room = (size_t)MIN(stream->send_window, conn->send_window);
    return conn->busy != 0 ? MIN(room, conn->budget) : room;
}

void http2_response_enqueue(struct http2_stream *stream)
{
    if (stream->closed || h2o_linklist_is_linked(&stream->turn))
        return;
    h2o_linklist_insert(&stream->conn->turns, &stream->turn);
    http2_turn_touch(stream->conn);
}

void http2_stream_want_write(struct http2_stream *stream)
{
    stream->want_write = 1;
    http2_response_enqueue(stream);
}

void http2_stream_end(struct http2_stream *stream)
{
    struct http2_conn *conn = stream->conn;
    assert(!stream->local_closed && http2_stream_pending(stream) == 0);
    if (conn->data_frame == 0 || conn->data_stream != stream)
        new_data_frame(conn, stream, 0);
    if (conn->data_frame != 0) /* 0: there was no memory */
        data_frame_head(conn)[4] |= H2O_HTTP2_FRAME_FLAG_END_STREAM;
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

/* ---- turns of streams ---- */

static void send_pending(struct http2_stream *stream)
{
    struct http2_conn *conn = stream->conn;
    size_t window = (size_t)MIN(stream->send_window, conn->send_window);
    size_t len = MIN(http2_stream_pending(stream), MIN(window, (size_t)HTTP2_TURN_QUANTUM));
    assert(len != 0 && len <= HTTP2_TURN_QUANTUM);
    memcpy(put_data(stream, len), stream->pending + stream->pending_off, len);
    stream->pending_off += (uint32_t)len;
    if (http2_stream_pending(stream) == 0)
        drop_pending(stream);
}

/* Gives one stream its turn. The stream leaves the queue, and is queued again at the end if it has
 * more to send. If the stream's own window is closed, the peer's WINDOW_UPDATE queues it again. */
static void give_stream_turn(struct http2_stream *stream)
{
    struct http2_conn *conn = stream->conn;
    h2o_linklist_unlink(&stream->turn);
    if (stream->send_window <= 0)
        return;
    conn->budget = HTTP2_TURN_QUANTUM;
    if (http2_stream_pending(stream) != 0)
        send_pending(stream);
    if (http2_stream_pending(stream) != 0) {
        http2_response_enqueue(stream);
    } else if (stream->want_write) {
        stream->want_write = 0;
        conn->context->handler->on_writable(stream);
    }
    http2_turn_spend(conn, HTTP2_WORK_FRAME + HTTP2_TURN_QUANTUM - conn->budget);
}

void http2_response_pump(struct http2_conn *conn)
{
    while (http2_response_may_pump(conn) && http2_output_waiting(&conn->out) < HTTP2_OUT_TARGET)
        give_stream_turn(container_of(conn->turns.next, struct http2_stream, turn));
    conn->budget = HTTP2_TURN_QUANTUM;
}
