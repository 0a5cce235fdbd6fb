/* SPDX-License-Identifier: MIT */
#include "http2/conn.h"

#include <stdlib.h>
#include <string.h>

struct http2_context *http2_context_create(h2o_loop_t *loop, struct http2_timers *timers,
                                           const struct http2_handler *handler,
                                           const struct http2_settings *settings)
{
    struct http2_context *context = h2o_mem_alloc(sizeof(*context));
    *context = (struct http2_context){
        .loop = loop, .timers = timers, .handler = handler, .settings = *settings};
    /* Page-aligned, so that it can be left out of core dumps: requests hold secrets. */
    size_t input_size = HTTP2_FRAME_MAX + H2O_HTTP2_FRAME_HEADER_SIZE + HTTP2_READ_SIZE;
    context->input = h2o_mem_alloc(input_size);
    context->streams.max = 256;
    context->out_prototype.allocator.max = 16;
    context->out_prototype._initial_buf.capacity = HTTP2_OUT_TARGET + HTTP2_FRAME_MAX;
    h2o_linklist_init_anchor(&context->conns);
    h2o_timeout_init(loop, &context->zero_timeout, 0);
    http2_fields_init(&context->fields, settings->max_header_list_size);
    return context;
}

static struct http2_conn *first_conn(struct http2_context *context)
{
    return H2O_STRUCT_FROM_MEMBER(struct http2_conn, link, context->conns.next);
}

static void free_recycled(h2o_mem_recycle_t *allocator)
{
    /* libh2o frees what comes back to an allocator that keeps nothing; taking one chunk out and
     * giving it back to such an allocator empties it one by one */
    while (allocator->cnt != 0) {
        void *chunk = h2o_mem_alloc_recycle(allocator, 1);
        free(chunk);
    }
}

void http2_context_destroy(struct http2_context *context)
{
    while (!h2o_linklist_is_empty(&context->conns))
        http2_conn_destroy(first_conn(context));
    h2o_timeout_dispose(context->loop, &context->zero_timeout);
    http2_fields_dispose(&context->fields);
    free_recycled(&context->streams);
    free_recycled(&context->out_prototype.allocator);
    free(context->input);
    free(context);
}

void http2_context_shutdown(struct http2_context *context)
{
    h2o_linklist_t *link = context->conns.next;
    while (link != &context->conns) {
        struct http2_conn *conn = H2O_STRUCT_FROM_MEMBER(struct http2_conn, link, link);
        link = link->next;
        http2_conn_drain(conn, "");
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

h2o_socket_t *http2_conn_socket(const struct http2_conn *conn)
{
    return conn->sock;
}
