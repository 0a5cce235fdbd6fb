/* SPDX-License-Identifier: MIT */
#include "grpc/handler.h"

#include <assert.h>

#include "grpc/call.h"
#include "grpc/inbox.h"
#include "grpc/partial.h"
#include "grpc/receive.h"
#include "grpc/reject.h"
#include "grpc/reply.h"
#include "grpc/request.h"

static void on_stream_data(struct http2_stream *stream, uint8_t *data, size_t len, bool end_stream)
{
    struct grpc_call *call = grpc_call_of(stream);
    if (end_stream)
        call->remote_end = true;
    grpc_receive(call, data, len);
}

/** gRPC's requests have no trailers: a trailer section ends the body as END_STREAM does. */
static void on_stream_trailers(struct http2_stream *stream, const h2o_header_t *fields,
                               size_t num_fields)
{
    struct grpc_call *call = grpc_call_of(stream);
    (void)fields;
    (void)num_fields;
    call->remote_end = true;
    grpc_receive(call, NULL, 0);
}

static void go_on_ending(struct grpc_call *call)
{
    if (call->rejected)
        grpc_reject_end(call);
    else if (http2_stream_pending(&call->stream) == 0)
        grpc_send_end(call);
    else
        http2_stream_want_write(&call->stream);
}

static void on_stream_writable(struct http2_stream *stream)
{
    struct grpc_call *call = grpc_call_of(stream);
    if (call->ended)
        return;
    if (call->finished) {
        go_on_ending(call);
        return;
    }
    if (call->want_write) {
        assert(!call->busy);
        call->want_write = false;
        call->busy = true;
        if (call->entry->method->on_writable != NULL)
            call->entry->method->on_writable(call);
        call->busy = false;
    }
    grpc_receive(call, NULL, 0);
}

static void on_stream_turn(struct http2_stream *stream)
{
    if (!grpc_call_of(stream)->ended)
        grpc_receive(grpc_call_of(stream), NULL, 0);
}

/** Runs what is due at the end of the method and of each interceptor that the call reached. */
static void run_ends(struct grpc_call *call, enum grpc_status status)
{
    if (call->opened && call->entry->method->on_end != NULL)
        call->entry->method->on_end(call, status);
    while (call->chain != 0) {
        const struct grpc_interceptor *step = call->server->interceptors[--call->chain];
        if (step->end != NULL)
            step->end(call, step->data, status);
    }
}

static void on_stream_close(struct http2_stream *stream, bool complete, uint32_t error)
{
    struct grpc_call *call = grpc_call_of(stream);
    struct grpc_server *server = call->server;
    (void)complete; /* `ended` says whether the status went out */
    (void)error;
    assert(!call->busy); /* http2 never closes a stream inside a callback */
    assert(server->staged != call);
    timer_disarm(server->timers, &call->timer);
    enum grpc_status status = call->ended || call->rejected ? call->status : GRPC_CANCELLED;
    call->status = (uint8_t)status;
    call->finished = call->ended = true;
    call->inbox.uncredited = 0; /* http2 has given the window back, before this callback */
    run_ends(call, status);
    grpc_inbox_free(call);
    grpc_partial_note(call, false);
    /* Metadata may hold tokens and other secrets of callers. */
    grpc_arena_clear(&call->arena, call->has_metadata || grpc_call_secret(call));
    assert(server->num_calls != 0);
    *call->prev = call->next;
    if (call->next != NULL)
        call->next->prev = call->prev;
    server->num_calls--;
}

struct http2_handler grpc_handler_of(struct grpc_server *server)
{
    return (struct http2_handler){
        .stream_size = sizeof(struct grpc_call),
        .on_request = grpc_request_open,
        .on_data = on_stream_data,
        .on_trailers = on_stream_trailers,
        .on_writable = on_stream_writable,
        .on_turn = on_stream_turn,
        .on_close = on_stream_close,
        .data = server,
    };
}
