/* SPDX-License-Identifier: MIT */
#include "http2/input.h"

#include <assert.h>
#include <string.h>
#include <sys/param.h>

#include "base/secret.h"
#include "http2/account.h"
#include "http2/conn_error.h"
#include "http2/frames.h"
#include "http2/life.h"
#include "http2/out.h"
#include "http2/socket.h"

/* @return false: out of memory */
static bool keep_carry(struct http2_conn *conn, const uint8_t *bytes, size_t len)
{
    if (len == 0)
        return true;
    assert(conn->carry == NULL && len <= HTTP2_INPUT_SIZE);
    conn->carry = secret_alloc(len);
    if (conn->carry == NULL)
        return false;
    memcpy(conn->carry, bytes, len);
    conn->carry_len = len;
    http2_account_force(conn, len);
    return true;
}

static size_t take_carry(struct http2_conn *conn, uint8_t *dst)
{
    size_t len = conn->carry_len;
    if (len == 0)
        return 0;
    memcpy(dst, conn->carry, len);
    http2_input_drop(conn);
    return len;
}

void http2_input_came(struct http2_conn *conn)
{
    conn->read_ms = timers_now(conn->context->timers);
    conn->ping_ms = 0;
}

bool http2_input_read(struct http2_conn *conn, size_t *len)
{
    uint8_t *input = conn->context->input;
    size_t carried = take_carry(conn, input), room = HTTP2_INPUT_SIZE - carried;
    *len = carried;
    if (room < HTTP2_READ_SIZE) /* the carried frames are handled first */
        return true;
    ssize_t n = conn->transport->read(conn, input + carried, room);
    if (n < 0) {
        explicit_bzero(input, carried);
        return false;
    }
    if (n > 0)
        http2_input_came(conn);
    conn->context->counts.bytes_in += (uint64_t)n;
    *len += (size_t)n;
    return true;
}

bool http2_input_discard(struct http2_conn *conn)
{
    conn->readable = conn->unhandled = 0;
    ssize_t n = http2_socket_read(conn, conn->context->input, HTTP2_READ_SIZE);
    if (n > 0)
        explicit_bzero(conn->context->input, (size_t)n);
    conn->discarded += n > 0 ? (size_t)n : 0;
    return n >= 0 && conn->discarded <= HTTP2_DISCARD_MAX;
}

/* Bytes that are not the preface. An HTTP/1 request gets an answer that its client can show.
 * @return bytes used; 0: wait for the rest of what may be a request line */
static size_t refuse_preface(struct http2_conn *conn, const uint8_t *src, size_t len)
{
    static const char text[] = "HTTP/1.1 505 HTTP Version Not Supported\r\nConnection: close\r\n"
                               "Content-Type: text/plain\r\nContent-Length: 37\r\n\r\n"
                               "This port speaks HTTP/2 (gRPC) only.\n";
    enum { REQUEST_LINE_MAX = 2048 };
    const uint8_t *line_end = memchr(src, '\n', len);
    bool may_be_method = src[0] >= 'A' && src[0] <= 'Z';
    if (line_end == NULL && may_be_method && len < REQUEST_LINE_MAX)
        return 0;
    size_t line = line_end != NULL ? (size_t)(line_end - src) : 0;
    if (memmem(src, line, " HTTP/1.", 8) == NULL) {
        http2_conn_fail(conn, HTTP2_PROTOCOL_ERROR, "not the HTTP/2 connection preface");
        return len;
    }
    memcpy(http2_out_put(conn, sizeof(text) - 1), text, sizeof(text) - 1);
    conn->state = HTTP2_CONN_CLOSING;
    return len;
}

static void send_preface(struct http2_conn *conn)
{
    const struct http2_settings *settings = &conn->context->settings;
    const struct {
        uint16_t id;
        uint32_t value;
    } values[] = {{H2O_HTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, settings->max_concurrent_streams},
                  {H2O_HTTP2_SETTINGS_INITIAL_WINDOW_SIZE, HTTP2_STREAM_WINDOW},
                  {H2O_HTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, settings->max_header_list_size}};
    uint8_t payload[sizeof(values) / sizeof(values[0]) * 6], *end = payload;
    for (size_t i = 0; i != sizeof(values) / sizeof(values[0]); i++) {
        *end++ = (uint8_t)(values[i].id >> 8);
        *end++ = (uint8_t)values[i].id;
        end = h2o_http2_encode32u(end, values[i].value);
    }
    http2_out_frame(conn, H2O_HTTP2_FRAME_TYPE_SETTINGS, 0, 0, payload, sizeof(payload));
    http2_out_window_update(conn, 0, HTTP2_CONN_WINDOW - 65535);
}

/* @return bytes used; 0: wait for more */
static size_t handle_preface(struct http2_conn *conn, const uint8_t *src, size_t len)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    size_t whole = sizeof(preface) - 1;
    if (memcmp(src, preface, MIN(len, whole)) != 0)
        return refuse_preface(conn, src, len);
    if (len < whole)
        return 0;
    send_preface(conn);
    conn->state = HTTP2_CONN_SETTINGS;
    return whole;
}

static size_t handle_input(struct http2_conn *conn, uint8_t *src, size_t len)
{
    size_t used = 0;
    if (conn->state == HTTP2_CONN_PREFACE && len != 0)
        used = handle_preface(conn, src, len);
    if (conn->state == HTTP2_CONN_SETTINGS || conn->state == HTTP2_CONN_OPEN)
        used += http2_frames_handle(conn, src + used, len - used);
    return used;
}

void http2_input_handle(struct http2_conn *conn, uint8_t *src, size_t len)
{
    size_t used = handle_input(conn, src, len);
    bool kept = conn->state >= HTTP2_CONN_CLOSING || keep_carry(conn, src + used, len - used);
    explicit_bzero(src, len); /* the input may hold passwords and tokens */
    if (!kept) {
        http2_conn_lost(conn);
        return;
    }
    if (conn->state >= HTTP2_CONN_CLOSING)
        return;
    if (conn->carry_len != 0 || conn->block_stream != 0 || conn->partial_ms != 0)
        http2_life_partial(conn, used != 0);
}

void http2_input_drop(struct http2_conn *conn)
{
    http2_account_release(conn, conn->carry_len);
    secret_free(conn->carry, conn->carry_len);
    conn->carry = NULL;
    conn->carry_len = 0;
}
