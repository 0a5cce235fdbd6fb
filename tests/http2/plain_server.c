/* SPDX-License-Identifier: MIT */
/*
 * A minimal server on http2.h, for clients that test the protocol, such as h2spec. It answers each
 * request with a short body and a trailer.
 * Usage: plain_server PORT (0: any free port, which is printed)
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "http2/http2.h"

static const char body[] = "hello from a stream\n";
static const struct http2_field type = {
    .name = "content-type", .value = "text/plain", .name_len = 12, .value_len = 10, .intern = 1};
static const struct http2_field trailer = {
    .name = "x-end", .value = "yes", .name_len = 5, .value_len = 3, .intern = 2};

static void answer(struct http2_stream *stream)
{
    http2_stream_send_headers(stream, 200, &type, 1, false);
    memcpy(http2_stream_reserve(stream, sizeof(body) - 1), body, sizeof(body) - 1);
    if (http2_stream_pending(stream) != 0)
        http2_stream_want_write(stream);
    else
        http2_stream_send_trailers(stream, &trailer, 1);
}

static void on_request(struct http2_stream *stream, const struct http2_request *request)
{
    if (request->end_stream)
        answer(stream);
}

static void on_data(struct http2_stream *stream, uint8_t *data, size_t len, bool end_stream)
{
    (void)data;
    http2_stream_consume(stream, len);
    if (end_stream)
        answer(stream);
}

static void on_trailers(struct http2_stream *stream, const h2o_header_t *fields, size_t num)
{
    (void)fields, (void)num;
    answer(stream);
}

static void on_writable(struct http2_stream *stream)
{
    http2_stream_send_trailers(stream, &trailer, 1);
}

static void on_close(struct http2_stream *stream, bool complete, uint32_t error)
{
    (void)stream, (void)complete, (void)error;
}

static void on_accept(h2o_socket_t *listener, const char *err)
{
    h2o_socket_t *sock;
    if (err == NULL && (sock = h2o_evloop_socket_accept(listener)) != NULL)
        http2_accept(listener->data, sock);
}

int main(int argc, char **argv)
{
    static const struct http2_handler handler = {.stream_size = sizeof(struct http2_stream),
                                                 .on_request = on_request,
                                                 .on_data = on_data,
                                                 .on_trailers = on_trailers,
                                                 .on_writable = on_writable,
                                                 .on_close = on_close};
    static const struct http2_settings settings = {.max_concurrent_streams = 100,
                                                   .max_header_list_size = 8192};
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)(argc > 1 ? atoi(argv[1]) : 0)),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t addr_len = sizeof(addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (fd < 0 || bind(fd, (struct sockaddr *)&addr, addr_len) != 0 || listen(fd, 128) != 0 ||
        getsockname(fd, (struct sockaddr *)&addr, &addr_len) != 0) {
        perror("plain_server");
        return 1;
    }
    printf("%d\n", ntohs(addr.sin_port));
    fflush(stdout);
    h2o_loop_t *loop = h2o_evloop_create();
    h2o_socket_t *listener = h2o_evloop_socket_create(loop, fd, H2O_SOCKET_FLAG_DONT_READ);
    struct timers *timers = timers_create(0);
    struct http2_context *context = http2_context_create(loop, timers, &handler, &settings);
    listener->data = context;
    h2o_socket_read_start(listener, on_accept);
    while (getppid() != 1) {
        h2o_evloop_run(loop, http2_context_pending(context) ? 0 : 100);
        timers_stale(timers);
        timers_run(timers, timers_now(timers));
        (void)http2_context_run(context);
    }
    return 0;
}
