/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <nghttp2/nghttp2.h>

#include "session.h"

/* As in our http2 layer: one buffer to read into, one to collect output in, for all connections. */
static uint8_t input[128 * 1024], output[1024 * 1024];

struct echo_conn {
    h2o_socket_t *sock;
    nghttp2_session *session;
    struct echo_conn *next;
};

struct echo_stream {
    size_t len, sent;
    uint8_t message[SESSION_MESSAGE];
};

static struct echo_conn *all;
static nghttp2_session_callbacks *callbacks;

#define FIELD(name, value)                                                                         \
    {                                                                                              \
        (uint8_t *)(uintptr_t)(name), (uint8_t *)(uintptr_t)(value), sizeof(name) - 1,             \
            sizeof(value) - 1, NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE        \
    }
static const nghttp2_nv head[] = {FIELD(":status", "200"),
                                  FIELD("content-type", "application/grpc")};
static const nghttp2_nv tail[] = {FIELD("grpc-status", "0")};

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *data)
{
    (void)data;
    struct echo_stream *stream = malloc(sizeof(*stream));
    if (stream == NULL)
        session_die("out of memory");
    stream->len = stream->sent = 0;
    return nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, stream);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *data)
{
    (void)session, (void)frame, (void)name, (void)name_len, (void)value, (void)value_len;
    (void)flags, (void)data;
    return 0;
}

static int on_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes,
                    size_t len, void *data)
{
    (void)flags, (void)data;
    struct echo_stream *stream = nghttp2_session_get_stream_user_data(session, id);
    if (len > sizeof(stream->message) - stream->len)
        session_die("a message is too long");
    memcpy(stream->message + stream->len, bytes, len);
    stream->len += len;
    return 0;
}

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *to, size_t room,
                         uint32_t *flags, nghttp2_data_source *source, void *data)
{
    (void)data;
    struct echo_stream *stream = source->ptr;
    size_t left = stream->len - stream->sent, len = left < room ? left : room;
    memcpy(to, stream->message + stream->sent, len);
    stream->sent += len;
    if (stream->sent == stream->len) {
        *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
        nghttp2_submit_trailer(session, id, tail, 1);
    }
    return (ssize_t)len;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *data)
{
    (void)data;
    if (frame->hd.type != NGHTTP2_DATA || (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0)
        return 0;
    nghttp2_data_provider body = {
        .source.ptr = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id),
        .read_callback = read_body};
    return nghttp2_submit_response(session, frame->hd.stream_id, head, 2, &body);
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *data)
{
    (void)error, (void)data;
    free(nghttp2_session_get_stream_user_data(session, id));
    return 0;
}

static void flush(struct echo_conn *conn)
{
    const uint8_t *bytes;
    ssize_t n;
    size_t len = 0;
    while ((n = nghttp2_session_mem_send(conn->session, &bytes)) > 0) {
        if ((size_t)n > sizeof(output) - len)
            session_die("the output is too long");
        memcpy(output + len, bytes, (size_t)n);
        len += (size_t)n;
    }
    if (n < 0 || (len != 0 &&
                  send(h2o_socket_get_fd(conn->sock), output, len, MSG_NOSIGNAL) != (ssize_t)len))
        session_die("nghttp2: send");
}

static void on_readable(h2o_socket_t *sock, const char *err)
{
    struct echo_conn *conn = sock->data;
    if (err != NULL)
        session_die(err);
    ssize_t n = read(h2o_socket_get_fd(sock), input, sizeof(input));
    if (n > 0 && nghttp2_session_mem_recv(conn->session, input, (size_t)n) != n)
        session_die("nghttp2: receive");
    flush(conn);
}

static void start_nghttp2(h2o_loop_t *loop)
{
    (void)loop;
    if (nghttp2_session_callbacks_new(&callbacks) != 0)
        session_die("out of memory");
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_chunk);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
}

static void accept_nghttp2(h2o_socket_t *sock)
{
    static const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1000},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 256 * 1024}};
    struct echo_conn *conn = malloc(sizeof(*conn));
    if (conn == NULL || nghttp2_session_server_new(&conn->session, callbacks, conn) != 0)
        session_die("out of memory");
    conn->sock = sock;
    conn->next = all;
    all = conn;
    sock->data = conn;
    nghttp2_submit_settings(conn->session, NGHTTP2_FLAG_NONE, settings, 2);
    nghttp2_session_set_local_window_size(conn->session, NGHTTP2_FLAG_NONE, 0, 1024 * 1024);
    h2o_socket_dont_read(sock, 1);
    h2o_socket_read_start(sock, on_readable);
}

static void turn_nghttp2(h2o_loop_t *loop)
{
    h2o_evloop_run(loop, 0);
}

static void stop_nghttp2(void)
{
    while (all != NULL) {
        struct echo_conn *conn = all;
        all = conn->next;
        nghttp2_session_del(conn->session);
        h2o_socket_close(conn->sock);
        free(conn);
    }
    nghttp2_session_callbacks_del(callbacks);
}

const struct session_party session_nghttp2 = {"nghttp2", start_nghttp2, accept_nghttp2,
                                              turn_nghttp2, stop_nghttp2};
