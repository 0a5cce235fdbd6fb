/* SPDX-License-Identifier: MIT */
/* A context: all connections of one event loop, and what they share. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/container_of.h"
#include "http2/conn.h"
#include "http2/conn_state.h"
#include "http2/drain.h"
#include "http2/loop.h"

/* Whole pages, so that they can be left out of core dumps: requests hold secrets. */
static uint8_t *map_input(void)
{
    void *input =
        mmap(NULL, HTTP2_INPUT_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (input == MAP_FAILED)
        return NULL;
    (void)madvise(input, HTTP2_INPUT_SIZE, MADV_DONTDUMP);
    return input;
}

struct http2_context *http2_context_create(h2o_loop_t *loop, struct timers *timers,
                                           const struct http2_handler *handler,
                                           const struct http2_settings *settings)
{
    assert(handler->stream_size >= sizeof(struct http2_stream));
    assert(handler->on_request != NULL && handler->on_data != NULL &&
           handler->on_trailers != NULL && handler->on_writable != NULL &&
           handler->on_close != NULL);
    struct http2_context *context = malloc(sizeof(*context));
    struct http2_fields fields = {.all = NULL};
    uint8_t *input = map_input();
    if (context == NULL || input == NULL ||
        !http2_fields_init(&fields, settings->max_header_list_size)) {
        if (input != NULL)
            munmap(input, HTTP2_INPUT_SIZE);
        free(context);
        return NULL;
    }
    *context = (struct http2_context){.loop = loop,
                                      .timers = timers,
                                      .handler = handler,
                                      .settings = *settings,
                                      .input = input,
                                      .fields = fields,
                                      .streams.max = 256,
                                      .outputs.max = 16};
    h2o_linklist_init_anchor(&context->conns);
    h2o_linklist_init_anchor(&context->touched);
    h2o_linklist_init_anchor(&context->fresh);
    h2o_linklist_init_anchor(&context->waiting);
    return context;
}

static struct http2_conn *first_conn(struct http2_context *context)
{
    return container_of(context->conns.next, struct http2_conn, link);
}

void http2_context_destroy(struct http2_context *context)
{
    while (!h2o_linklist_is_empty(&context->conns))
        http2_conn_destroy(first_conn(context));
    http2_fields_dispose(&context->fields);
    if (context->tls_io != NULL)
        context->tls_io_dispose(context->tls_io);
    http2_spares_dispose(&context->streams);
    http2_spares_dispose(&context->outputs);
    munmap(context->input, HTTP2_INPUT_SIZE);
    free(context);
}

void http2_context_shutdown(struct http2_context *context)
{
    h2o_linklist_t *link = context->conns.next;
    while (link != &context->conns) {
        struct http2_conn *conn = container_of(link, struct http2_conn, link);
        link = link->next;
        http2_drain_begin(conn, "");
    }
}

const struct http2_counts *http2_context_counts(const struct http2_context *context)
{
    return &context->counts;
}

h2o_loop_t *http2_context_loop(const struct http2_context *context)
{
    return context->loop;
}

const struct http2_handler *http2_context_handler(const struct http2_context *context)
{
    return context->handler;
}

struct http2_context *http2_conn_context(const struct http2_conn *conn)
{
    return conn->context;
}

/* ---- connections ---- */

void http2_accept(struct http2_context *context, h2o_socket_t *sock)
{
    struct http2_conn *conn = http2_conn_create(context, sock);
    if (conn != NULL)
        http2_loop_start(conn);
}

void http2_refuse(int fd, const char *why)
{
    /* a server's preface begins with SETTINGS, RFC 9113 3.4 */
    enum { WHY_MAX = 100 };
    uint8_t out[2 * H2O_HTTP2_FRAME_HEADER_SIZE + 8 + WHY_MAX];
    size_t len = strnlen(why, WHY_MAX);
    uint8_t *end = h2o_http2_encode_frame_header(out, 0, H2O_HTTP2_FRAME_TYPE_SETTINGS, 0, 0);
    end = h2o_http2_encode_frame_header(end, 8 + len, H2O_HTTP2_FRAME_TYPE_GOAWAY, 0, 0);
    end = h2o_http2_encode32u(end, 0);
    end = h2o_http2_encode32u(end, HTTP2_ENHANCE_YOUR_CALM);
    memcpy(end, why, len);
    ssize_t sent = send(fd, out, (size_t)(end - out) + len, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)sent; /* the socket is closed even if the peer cannot be notified */
    close(fd);
}
