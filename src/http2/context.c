/* SPDX-License-Identifier: MIT */
#include "http2/conn.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Page-aligned, so that it can be left out of core dumps: requests hold secrets. */
static uint8_t *create_input(void)
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
    struct http2_context *context = malloc(sizeof(*context));
    struct http2_fields fields = {.all = NULL};
    uint8_t *input = create_input();
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
    return H2O_STRUCT_FROM_MEMBER(struct http2_conn, link, context->conns.next);
}

void http2_context_destroy(struct http2_context *context)
{
    while (!h2o_linklist_is_empty(&context->conns))
        http2_conn_destroy(first_conn(context));
    http2_fields_dispose(&context->fields);
    http2_tls_io_free(context);
    http2_spares_free(&context->streams);
    http2_spares_free(&context->outputs);
    munmap(context->input, HTTP2_INPUT_SIZE);
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
