/* SPDX-License-Identifier: MIT */
#include "http2/frames.h"

#include <assert.h>
#include <string.h>

#include "http2/account.h"
#include "http2/conn_error.h"
#include "http2/drain.h"
#include "http2/headers.h"
#include "http2/life.h"
#include "http2/out.h"
#include "http2/peer_settings.h"
#include "http2/response.h"
#include "http2/stream.h"
#include "http2/turn.h"
#include "http2/write.h"

/* RFC 9113 5.1: no stream with this id was ever opened. */
static bool is_idle(const struct http2_conn *conn, uint32_t id)
{
    return (id & 1) == 0 || id > conn->last_id;
}

/* ---- DATA ---- */

/* DATA that the peer sent before it saw our RST_STREAM or GOAWAY. That may be a window full of
 * small messages, so such frames cost little; empty ones, which no window bounds, cost as usual. */
static void count_late_data(struct http2_conn *conn, bool empty, bool end_stream)
{
    if (empty)
        http2_conn_spend(conn, end_stream ? HTTP2_COST_FRAME : HTTP2_COST_EMPTY,
                         HTTP2_LIMIT_EMPTY_FRAMES);
    else if (++conn->late_data % HTTP2_LATE_DATA_PER_CREDIT == 0)
        http2_conn_spend(conn, HTTP2_COST_FRAME, HTTP2_LIMIT_OTHER_FRAMES);
}

/* DATA for a stream that is closed. The connection's window is given back at once. */
static void data_on_closed(struct http2_conn *conn, const h2o_http2_frame_t *frame,
                           const h2o_http2_data_payload_t *payload)
{
    uint32_t id = frame->stream_id;
    bool end_stream = (frame->flags & H2O_HTTP2_FRAME_FLAG_END_STREAM) != 0;
    http2_conn_credit(conn, frame->length);
    if (id > conn->goaway_id) {
        count_late_data(conn, payload->length == 0, end_stream);
        return;
    }
    switch (http2_closed_get(conn, id)) {
    case HTTP2_CLOSED_BY_US:
        count_late_data(conn, payload->length == 0, end_stream);
        return;
    case HTTP2_CLOSED_BY_PEER:
        http2_stream_fail(conn, id, HTTP2_STREAM_CLOSED);
        return;
    case HTTP2_CLOSED_ENDED:
    case HTTP2_CLOSED_SKIPPED:
        http2_conn_fail(conn, HTTP2_STREAM_CLOSED, "DATA on a closed stream");
    }
}

/* RFC 9113 8.1.1: the lengths of all DATA must add up to the content-length. */
static bool content_length_fits(struct http2_stream *stream, size_t len, bool end_stream)
{
    if (stream->content_length == UINT64_MAX)
        return true;
    if (len > stream->content_length)
        return false;
    stream->content_length -= len;
    return !end_stream || stream->content_length == 0;
}

static void end_remote(struct http2_stream *stream)
{
    stream->remote_closed = 1;
    if (stream->local_closed)
        http2_stream_closed(stream);
}

static void deliver_data(struct http2_stream *stream, const h2o_http2_frame_t *frame,
                         const h2o_http2_data_payload_t *payload)
{
    bool end_stream = (frame->flags & H2O_HTTP2_FRAME_FLAG_END_STREAM) != 0;
    if (!content_length_fits(stream, payload->length, end_stream)) {
        http2_conn_credit(stream->conn, frame->length);
        http2_stream_fail(stream->conn, stream->id, HTTP2_PROTOCOL_ERROR);
        return;
    }
    stream->recv_window -= frame->length;
    stream->recv_held += frame->length;
    if (end_stream)
        end_remote(stream);
    if (payload->length != frame->length)
        http2_stream_consume(stream, frame->length - payload->length); /* padding */
    if (payload->length == 0 && !end_stream) {
        http2_conn_spend(stream->conn, HTTP2_COST_EMPTY, HTTP2_LIMIT_EMPTY_FRAMES);
        return;
    }
    stream->conn->budget = HTTP2_OUT_TARGET;
    stream->conn->context->handler->on_data(stream, (uint8_t *)(uintptr_t)payload->data,
                                            payload->length, end_stream);
}

static void handle_data(struct http2_conn *conn, const h2o_http2_frame_t *frame)
{
    h2o_http2_data_payload_t payload;
    const char *why = NULL;
    int ret = h2o_http2_decode_data_payload(&payload, frame, &why);
    if (ret != 0) {
        http2_conn_fail_decoding(conn, ret, why);
        return;
    }
    if (is_idle(conn, frame->stream_id)) {
        http2_conn_fail(conn, HTTP2_PROTOCOL_ERROR, "DATA on an idle stream");
        return;
    }
    if (frame->length > conn->recv_window) {
        http2_conn_fail(conn, HTTP2_FLOW_CONTROL_ERROR, "DATA over the connection's window");
        return;
    }
    conn->recv_window -= frame->length;
    struct http2_stream *stream = http2_stream_find(conn, frame->stream_id);
    if (stream == NULL) {
        data_on_closed(conn, frame, &payload);
    } else if (stream->remote_closed) {
        http2_conn_credit(conn, frame->length);
        http2_stream_fail(conn, stream->id, HTTP2_STREAM_CLOSED);
    } else if (frame->length > stream->recv_window) {
        http2_conn_credit(conn, frame->length);
        http2_stream_fail(conn, stream->id, HTTP2_FLOW_CONTROL_ERROR);
    } else {
        deliver_data(stream, frame, &payload);
    }
}

/* ---- WINDOW_UPDATE, RST_STREAM, PRIORITY, PING, GOAWAY ---- */

static void handle_window_update(struct http2_conn *conn, const h2o_http2_frame_t *frame)
{
    h2o_http2_window_update_payload_t payload;
    const char *why = NULL;
    int of_stream = 0;
    if (!http2_conn_spend(conn, HTTP2_COST_FRAME, HTTP2_LIMIT_WINDOW_UPDATES))
        return;
    if (frame->stream_id != 0 && is_idle(conn, frame->stream_id)) {
        http2_conn_fail(conn, HTTP2_PROTOCOL_ERROR, "WINDOW_UPDATE on an idle stream");
        return;
    }
    int ret = h2o_http2_decode_window_update_payload(&payload, frame, &why, &of_stream);
    if (ret != 0) {
        if (of_stream)
            http2_stream_fail(conn, frame->stream_id, (enum http2_error) - ret);
        else
            http2_conn_fail_decoding(conn, ret, why);
        return;
    }
    if (frame->stream_id == 0) {
        conn->send_window += payload.window_size_increment;
        if (conn->send_window > INT32_MAX)
            http2_conn_fail(conn, HTTP2_FLOW_CONTROL_ERROR, "the connection's window overflows");
        return;
    }
    struct http2_stream *stream = http2_stream_find(conn, frame->stream_id);
    if (stream == NULL)
        return;
    int64_t window = (int64_t)stream->send_window + payload.window_size_increment;
    if (window > INT32_MAX) {
        http2_stream_fail(conn, stream->id, HTTP2_FLOW_CONTROL_ERROR);
        return;
    }
    stream->send_window = (int32_t)window;
    if (window > 0 && (stream->want_write || http2_stream_pending(stream) != 0))
        http2_response_enqueue(stream);
}

static void handle_rst_stream(struct http2_conn *conn, const h2o_http2_frame_t *frame)
{
    h2o_http2_rst_stream_payload_t payload;
    const char *why = NULL;
    int ret = h2o_http2_decode_rst_stream_payload(&payload, frame, &why);
    if (ret != 0) {
        http2_conn_fail_decoding(conn, ret, why);
        return;
    }
    if (is_idle(conn, frame->stream_id)) {
        http2_conn_fail(conn, HTTP2_PROTOCOL_ERROR, "RST_STREAM on an idle stream");
        return;
    }
    conn->context->counts.resets_in++;
    if (!http2_conn_spend(conn, HTTP2_COST_RESET, HTTP2_LIMIT_RESETS))
        return;
    struct http2_stream *stream = http2_stream_find(conn, frame->stream_id);
    http2_closed_set(conn, frame->stream_id, HTTP2_CLOSED_BY_PEER);
    if (stream == NULL)
        return;
    stream->reset = 1;
    stream->error = payload.error_code;
    stream->local_closed = stream->remote_closed = 1;
    http2_stream_closed(stream);
}

/* Priorities are ignored (RFC 9113 5.3.2 deprecates them) but checked: a stream that depends on
 * itself is an error in RFC 7540 5.3.1. */
static void handle_priority(struct http2_conn *conn, const h2o_http2_frame_t *frame)
{
    h2o_http2_priority_t payload;
    const char *why = NULL;
    if (!http2_conn_spend(conn, HTTP2_COST_FRAME, HTTP2_LIMIT_OTHER_FRAMES))
        return;
    int ret = h2o_http2_decode_priority_payload(&payload, frame, &why);
    if (ret == H2O_HTTP2_ERROR_FRAME_SIZE && !is_idle(conn, frame->stream_id))
        http2_stream_fail(conn, frame->stream_id, HTTP2_FRAME_SIZE_ERROR); /* 6.3 */
    else if (ret != 0)
        http2_conn_fail_decoding(conn, ret, why);
    else if (payload.dependency == frame->stream_id && is_idle(conn, frame->stream_id))
        http2_conn_fail(conn, HTTP2_PROTOCOL_ERROR, "a stream depends on itself");
    else if (payload.dependency == frame->stream_id)
        http2_stream_fail(conn, frame->stream_id, HTTP2_PROTOCOL_ERROR);
}

static uint64_t ping_interval(const struct http2_conn *conn)
{
    const struct http2_settings *settings = &conn->context->settings;
    if (conn->num_streams == 0 && !settings->ping_without_streams)
        return HTTP2_PING_INTERVAL_IDLE_MS;
    return settings->ping_min_time != 0 ? settings->ping_min_time : HTTP2_PING_INTERVAL_MS;
}

static void handle_ping(struct http2_conn *conn, const h2o_http2_frame_t *frame)
{
    h2o_http2_ping_payload_t payload;
    const char *why = NULL;
    int ret = h2o_http2_decode_ping_payload(&payload, frame, &why);
    if (ret != 0) {
        http2_conn_fail_decoding(conn, ret, why);
        return;
    }
    if ((frame->flags & H2O_HTTP2_FRAME_FLAG_ACK) != 0) {
        if (memcmp(payload.data, HTTP2_PING_DRAIN, sizeof(payload.data)) == 0)
            http2_drain_acknowledged(conn);
        http2_conn_spend(conn, HTTP2_COST_FRAME, HTTP2_LIMIT_OTHER_FRAMES);
        return;
    }
    if (!http2_calm_ping(&conn->calm, ping_interval(conn), timers_now(conn->context->timers))) {
        http2_conn_limit(conn, HTTP2_LIMIT_PINGS);
        http2_conn_fail(conn, HTTP2_ENHANCE_YOUR_CALM,
                        "too_many_pings"); /* A8 prescribes this text */
        return;
    }
    http2_out_ping(conn, H2O_HTTP2_FRAME_FLAG_ACK, payload.data);
}

static void handle_goaway(struct http2_conn *conn, const h2o_http2_frame_t *frame)
{
    h2o_http2_goaway_payload_t payload;
    const char *why = NULL;
    int ret = h2o_http2_decode_goaway_payload(&payload, frame, &why);
    if (ret != 0)
        http2_conn_fail_decoding(conn, ret, why);
    else /* nothing to do: we open no streams, and the peer closes when it has finished */
        http2_conn_spend(conn, HTTP2_COST_FRAME, HTTP2_LIMIT_OTHER_FRAMES);
}

static void handle_frame(struct http2_conn *conn, const h2o_http2_frame_t *frame)
{
    switch (frame->type) {
    case H2O_HTTP2_FRAME_TYPE_DATA:
        handle_data(conn, frame);
        return;
    case H2O_HTTP2_FRAME_TYPE_HEADERS:
        http2_headers_handle(conn, frame);
        return;
    case H2O_HTTP2_FRAME_TYPE_PRIORITY:
        handle_priority(conn, frame);
        return;
    case H2O_HTTP2_FRAME_TYPE_RST_STREAM:
        handle_rst_stream(conn, frame);
        return;
    case H2O_HTTP2_FRAME_TYPE_SETTINGS:
        http2_peer_settings_handle(conn, frame);
        return;
    case H2O_HTTP2_FRAME_TYPE_PUSH_PROMISE:
        http2_conn_fail(conn, HTTP2_PROTOCOL_ERROR, "PUSH_PROMISE from a client");
        return;
    case H2O_HTTP2_FRAME_TYPE_PING:
        handle_ping(conn, frame);
        return;
    case H2O_HTTP2_FRAME_TYPE_GOAWAY:
        handle_goaway(conn, frame);
        return;
    case H2O_HTTP2_FRAME_TYPE_WINDOW_UPDATE:
        handle_window_update(conn, frame);
        return;
    case H2O_HTTP2_FRAME_TYPE_CONTINUATION:
        http2_continuation_handle(conn, frame);
        return;
    default:
        /* 5.5: unknown types are ignored */
        http2_conn_spend(conn, HTTP2_COST_FRAME, HTTP2_LIMIT_OTHER_FRAMES);
        return;
    }
}

/* RFC 9113 3.4: the client's preface ends with a SETTINGS frame. */
static bool is_first_settings(const h2o_http2_frame_t *frame)
{
    return frame->type == H2O_HTTP2_FRAME_TYPE_SETTINGS &&
           (frame->flags & H2O_HTTP2_FRAME_FLAG_ACK) == 0;
}

/* Fails the connection if a frame of this type is not allowed now.
 * @return true: the frame may be handled */
static bool check_order(struct http2_conn *conn, const h2o_http2_frame_t *frame)
{
    if (conn->state == HTTP2_CONN_SETTINGS) {
        if (!is_first_settings(frame)) {
            http2_conn_fail(conn, HTTP2_PROTOCOL_ERROR, "the first frame is not SETTINGS");
            return false;
        }
        conn->state = HTTP2_CONN_OPEN;
        http2_drain_conn_opened(conn);
        http2_life_open(conn);
    }
    if (conn->block_stream != 0 && frame->type != H2O_HTTP2_FRAME_TYPE_CONTINUATION) {
        http2_conn_fail(conn, HTTP2_PROTOCOL_ERROR, "a header block is interrupted");
        return false;
    }
    return true;
}

size_t http2_frames_handle(struct http2_conn *conn, uint8_t *src, size_t len)
{
    size_t used = 0;
    while (conn->state < HTTP2_CONN_CLOSING) {
        h2o_http2_frame_t frame;
        const char *why = NULL;
        ssize_t ret =
            h2o_http2_decode_frame(&frame, src + used, len - used, &H2O_HTTP2_SETTINGS_HOST, &why);
        if (ret == H2O_HTTP2_ERROR_INCOMPLETE)
            break;
        if (ret < 0) {
            http2_conn_fail_decoding(conn, (int)ret, "a frame over SETTINGS_MAX_FRAME_SIZE");
            break;
        }
        used += (size_t)ret;
        frame.stream_id &= INT32_MAX; /* 4.1: the reserved bit is ignored */
        if (!check_order(conn, &frame))
            break;
        http2_turn_spend(conn, HTTP2_WORK_FRAME + frame.length);
        handle_frame(conn, &frame);
        http2_streams_reap(conn);
        if (http2_output_waiting(&conn->out) >= HTTP2_OUT_TARGET)
            http2_write(conn);
        if (conn->over || !http2_account_may_read(conn)) {
            conn->unhandled = 1;
            break;
        }
    }
    assert(used <= len);
    return used;
}
