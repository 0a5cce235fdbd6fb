/* SPDX-License-Identifier: MIT */
#include "http2/out.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "http2/account.h"
#include "http2/turn.h"

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

/* Moves the waiting bytes to the front of the buffer, or to a larger one.
 * @return false: out of memory */
static bool make_output_room(struct http2_conn *conn, size_t len)
{
    struct http2_output *out = &conn->out;
    assert(out->off <= out->len && out->len <= out->cap);
    size_t waiting = http2_output_waiting(out);
    size_t cap = out->cap != 0 ? out->cap : HTTP2_OUTPUT_SIZE;
    while (cap - waiting < len)
        cap *= 2;
    uint8_t *bytes = out->bytes;
    if (cap != out->cap) {
        bytes = conn->out_failed ? NULL : new_buffer(conn, cap);
        if (bytes == NULL)
            return false;
        http2_account_force(conn, cap);
    }
    if (waiting != 0)
        memmove(bytes, out->bytes + out->off, waiting);
    if (conn->data_frame != 0) {
        assert(conn->data_frame > out->off); /* a write closes the frame, so it begins after off */
        conn->data_frame -= out->off;
    }
    if (bytes != out->bytes && out->bytes != NULL)
        free_buffer(conn);
    *out = (struct http2_output){.bytes = bytes, .cap = cap, .len = waiting};
    return true;
}

uint8_t *http2_out_put_slowly(struct http2_conn *conn, size_t len)
{
    assert(len <= sizeof(conn->context->sink));
    if (make_output_room(conn, len))
        return http2_out_put(conn, len);
    conn->out_failed = 1;
    http2_out_close_data(conn);
    http2_turn_touch(conn);
    return conn->context->sink;
}

/* ---- frames ---- */

void http2_out_frame(struct http2_conn *conn, uint8_t type, uint8_t flags, uint32_t id,
                     const void *payload, size_t len)
{
    http2_out_close_data(conn);
    uint8_t *dst = http2_out_put(conn, H2O_HTTP2_FRAME_HEADER_SIZE + len);
    dst = http2_out_head(dst, len, type, flags, id);
    if (len != 0)
        memcpy(dst, payload, len);
    http2_turn_touch(conn);
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
