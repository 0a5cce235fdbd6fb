/* SPDX-License-Identifier: MIT */
#include "http2/peer_settings.h"

#include <sys/param.h>

#include "http2/conn_error.h"
#include "http2/out.h"
#include "http2/response.h"

/* 6.9.2: a new initial window size changes the window of every open stream.
 * @return false: a window overflows */
static bool move_windows(struct http2_conn *conn, int64_t delta)
{
    /* A small increase makes each waiting stream send a small frame, which earns credit. So the
     * increase costs as much credit as it makes us earn. */
    bool little = delta > 0 && delta < HTTP2_LITTLE_WINDOW;
    int32_t woken = 0;
    for (uint32_t i = 0; i != conn->num_buckets; i++) {
        for (struct http2_stream *stream = conn->buckets[i]; stream != NULL;
             stream = stream->hash_next) {
            int64_t window = stream->send_window + delta;
            if (window > INT32_MAX)
                return false;
            stream->send_window = (int32_t)window;
            if (window > 0 && (stream->want_write || http2_stream_pending(stream) != 0)) {
                http2_response_enqueue(stream);
                woken++;
            }
        }
    }
    if (little)
        http2_conn_spend(conn, woken * HTTP2_CREDIT_PER_DATA, HTTP2_LIMIT_SETTINGS);
    return true;
}

/* The cost grows with the walk over the streams. So the larger credit of a connection that may have
 * more streams pays for no more walks, which are longer already. */
static int32_t settings_cost(const struct http2_conn *conn)
{
    return MAX(HTTP2_COST_SETTINGS, (int32_t)(conn->num_buckets / HTTP2_BUCKETS_PER_CREDIT));
}

/* 6.5.3: each value is applied, in order. After a table size below ours our next block must begin
 * with a size update, even where a larger value follows in the same frame (RFC 7541 4.2). */
static void resize_encoder(struct http2_conn *conn, const h2o_http2_frame_t *frame)
{
    enum { SETTING_SIZE = 6 };
    const uint8_t *end = frame->payload + frame->length;
    for (const uint8_t *at = frame->payload; at != end; at += SETTING_SIZE)
        if (h2o_http2_decode16u(at) == H2O_HTTP2_SETTINGS_HEADER_TABLE_SIZE)
            hpack_encoder_resize(&conn->encoder, h2o_http2_decode32u(at + 2));
}

void http2_peer_settings_handle(struct http2_conn *conn, const h2o_http2_frame_t *frame)
{
    const char *why = NULL;
    if (frame->stream_id != 0) {
        http2_conn_fail(conn, HTTP2_PROTOCOL_ERROR, "SETTINGS on a stream");
        return;
    }
    if ((frame->flags & H2O_HTTP2_FRAME_FLAG_ACK) != 0) {
        if (frame->length != 0)
            http2_conn_fail(conn, HTTP2_FRAME_SIZE_ERROR, "SETTINGS ACK with a payload");
        else
            http2_conn_spend(conn, HTTP2_COST_FRAME, HTTP2_LIMIT_OTHER_FRAMES);
        return;
    }
    if (!http2_conn_spend(conn, settings_cost(conn), HTTP2_LIMIT_SETTINGS))
        return;
    uint32_t initial_window = conn->peer.initial_window_size;
    int ret = h2o_http2_update_peer_settings(&conn->peer, frame->payload, frame->length, &why);
    if (ret != 0) {
        http2_conn_fail_decoding(conn, ret, why);
        return;
    }
    resize_encoder(conn, frame);
    if (!move_windows(conn, (int64_t)conn->peer.initial_window_size - initial_window)) {
        http2_conn_fail(conn, HTTP2_FLOW_CONTROL_ERROR, "SETTINGS overflow a stream's window");
        return;
    }
    http2_out_frame(conn, H2O_HTTP2_FRAME_TYPE_SETTINGS, H2O_HTTP2_FRAME_FLAG_ACK, 0, NULL, 0);
}
