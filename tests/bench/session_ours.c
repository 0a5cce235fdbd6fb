/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "base/container_of.h"
#include "http2/http2.h"
#include "session.h"

static struct timers *timers;
static struct http2_context *context;

struct echo_stream {
    struct http2_stream http2;
    size_t len;
    uint8_t message[SESSION_MESSAGE];
};

static struct echo_stream *echo_of(struct http2_stream *http2)
{
    return container_of(http2, struct echo_stream, http2);
}

static void on_request(struct http2_stream *http2, const struct http2_request *request)
{
    (void)request;
    echo_of(http2)->len = 0;
}

static void answer(struct echo_stream *stream)
{
    static const struct http2_field type = {.name = "content-type",
                                            .value = "application/grpc",
                                            .name_len = 12,
                                            .value_len = 16,
                                            .intern = 1};
    static const struct http2_field status = {
        .name = "grpc-status", .value = "0", .name_len = 11, .value_len = 1, .intern = 2};
    http2_stream_send_headers(&stream->http2, 200, &type, 1, false);
    uint8_t *body = http2_stream_reserve(&stream->http2, stream->len);
    if (body == NULL || http2_stream_pending(&stream->http2) != 0)
        session_die("the answer has no room");
    memcpy(body, stream->message, stream->len);
    http2_stream_send_trailers(&stream->http2, &status, 1);
}

static void on_data(struct http2_stream *http2, uint8_t *data, size_t len, bool end_stream)
{
    struct echo_stream *stream = echo_of(http2);
    if (len > sizeof(stream->message) - stream->len)
        session_die("a message is too long");
    memcpy(stream->message + stream->len, data, len);
    stream->len += len;
    http2_stream_consume(http2, len);
    if (end_stream)
        answer(stream);
}

static void on_trailers(struct http2_stream *http2, const h2o_header_t *fields, size_t num)
{
    (void)http2, (void)fields, (void)num;
}

static void on_writable(struct http2_stream *http2)
{
    (void)http2;
}

static void on_close(struct http2_stream *http2, bool complete, uint32_t error)
{
    (void)http2, (void)complete, (void)error;
}

static void start_ours(h2o_loop_t *loop)
{
    static const struct http2_handler handler = {.stream_size = sizeof(struct echo_stream),
                                                 .on_request = on_request,
                                                 .on_data = on_data,
                                                 .on_trailers = on_trailers,
                                                 .on_writable = on_writable,
                                                 .on_close = on_close};
    static const struct http2_settings settings = {
        .max_concurrent_streams = 1000, .max_header_list_size = 16384, .max_memory = 16 << 20};
    timers = timers_create(1);
    context = timers == NULL ? NULL : http2_context_create(loop, timers, &handler, &settings);
    if (context == NULL)
        session_die("out of memory");
}

static void accept_ours(h2o_socket_t *sock)
{
    http2_accept(context, sock);
}

static void turn_ours(h2o_loop_t *loop)
{
    h2o_evloop_run(loop, 0);
    timers_stale(timers);
    timers_run(timers, timers_now(timers));
    while (http2_context_run(context))
        ;
}

static void stop_ours(void)
{
    http2_context_destroy(context);
    timers_destroy(timers);
}

const struct session_party session_ours = {"ours", start_ours, accept_ours, turn_ours, stop_ours};
