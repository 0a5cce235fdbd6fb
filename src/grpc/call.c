/* SPDX-License-Identifier: MIT */
/* A call's life after it was opened: what http2 tells, how it ends, what it says of itself. */
#include <stdarg.h>
#include <stdio.h>

#include "base/percent.h"
#include "base/utf8.h"
#include "grpc/internal.h"

/** A status message longer than this would meet the header list limits of clients. */
enum { MAX_STATUS_MESSAGE = 1024 };

/* ---- what http2 tells ---- */

void grpc_call_on_data(struct http2_stream *stream, uint8_t *data, size_t len, bool end_stream)
{
    struct grpc_call *call = grpc_call_of(stream);

    if (end_stream)
        call->remote_end = true;
    grpc_receive(call, data, len);
}

void grpc_call_on_trailers(struct http2_stream *stream, const h2o_header_t *fields,
                           size_t num_fields)
{
    struct grpc_call *call = grpc_call_of(stream);

    /* gRPC's requests have no trailers; they end the body as END_STREAM does. */
    (void)fields;
    (void)num_fields;
    call->remote_end = true;
    grpc_receive(call, NULL, 0);
}

void grpc_call_on_writable(struct http2_stream *stream)
{
    struct grpc_call *call = grpc_call_of(stream);

    if (call->ended)
        return;
    if (call->finished) {
        if (call->rejected)
            grpc_request_end_rejected(call);
        else if (http2_stream_pending(stream) == 0)
            grpc_send_end(call);
        else
            http2_stream_want_write(stream);
        return;
    }
    if (call->want_write) {
        call->want_write = false;
        call->busy = true;
        if (call->entry->method->on_writable != NULL)
            call->entry->method->on_writable(call);
        call->busy = false;
    }
    grpc_receive(call, NULL, 0);
}

void grpc_call_on_turn(struct http2_stream *stream)
{
    if (!grpc_call_of(stream)->ended)
        grpc_receive(grpc_call_of(stream), NULL, 0);
}

void grpc_call_on_close(struct http2_stream *stream, bool complete, uint32_t error)
{
    struct grpc_call *call = grpc_call_of(stream);
    struct grpc_server *server = call->server;

    (void)complete; /* ended tells what the client was told */
    (void)error;
    timer_disarm(server->timers, &call->timer);
    enum grpc_status status = call->ended || call->rejected ? call->status : GRPC_CANCELLED;
    call->status = (uint8_t)status;
    call->finished = call->ended = true;
    if (call->opened && call->entry->method->on_end != NULL)
        call->entry->method->on_end(call, status);
    while (call->chain != 0) {
        const struct grpc_interceptor *step = server->interceptors[--call->chain];
        if (step->end != NULL)
            step->end(call, step->data, status);
    }
    grpc_receive_free(call); /* http2 has taken its window back */
    grpc_partial_note(call, false);
    /* metadata has tokens, and whatever else callers send so */
    grpc_arena_clear(&call->arena, call->has_metadata || grpc_call_secret(call));
    *call->prev = call->next;
    if (call->next != NULL)
        call->next->prev = call->prev;
    server->num_calls--;
}

bool grpc_call_hold_arena(struct grpc_call *call)
{
    size_t more = call->arena.allocated - call->arena_held;

    if (more == 0)
        return true;
    if (!http2_stream_hold(&call->stream, more)) {
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, GRPC_HOLDS_TOO_MUCH);
        return false;
    }
    call->arena_held += more;
    return true;
}

/* ---- how it ends ---- */

/** Keeps the message for the trailers, encoded. */
static void keep_message(struct grpc_call *call, const char *message)
{
    size_t len = strnlen(message, MAX_STATUS_MESSAGE + 4);

    len = utf8_cut(message, len, MAX_STATUS_MESSAGE);
    size_t encoded = percent_length(message, len);
    if (encoded != 0)
        call->message = grpc_arena_alloc(&call->arena, encoded);
    if (call->message == NULL)
        return; /* the status goes out without it */
    percent_encode(call->message, message, len);
    call->message_len = (uint32_t)encoded;
}

static void set_status(struct grpc_call *call, enum grpc_status status, const char *message)
{
    call->message = NULL;
    call->message_len = 0;
    if (status == GRPC_OK && !call->entry->streaming_reply && call->messages_out == 0) {
        status = GRPC_INTERNAL;
        message = "the method sent no reply";
    }
    call->finished = true;
    call->status = (uint8_t)((unsigned)status < GRPC_NUM_STATUSES ? status : GRPC_UNKNOWN);
    if (message != NULL && *message != '\0')
        keep_message(call, message);
    if (!call->busy) /* else the loop that runs the callback sees to it */
        grpc_receive_discard(call);
}

void grpc_call_finish(struct grpc_call *call, enum grpc_status status, const char *message)
{
    if (call->finished)
        return;
    set_status(call, status, message);
    if (http2_stream_pending(&call->stream) == 0 || call->stream.local_closed)
        grpc_send_end(call);
    else
        http2_stream_want_write(&call->stream);
}

void grpc_call_finishf(struct grpc_call *call, enum grpc_status status, const char *format, ...)
{
    char message[MAX_STATUS_MESSAGE + 8];
    va_list args;

    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    grpc_call_finish(call, status, message);
}

void grpc_call_cut(struct grpc_call *call, enum grpc_status status, const char *message)
{
    if (call->ended)
        return;
    if (call->rejected) { /* its answer has no trailers */
        grpc_send_reset(call, HTTP2_CANCEL);
        return;
    }
    set_status(call, status, message);
    if (http2_stream_pending(&call->stream) == 0 || call->stream.local_closed)
        grpc_send_end(call);
    else
        grpc_send_reset(call, HTTP2_CANCEL);
}

void grpc_call_deadline_passed(struct timer *timer)
{
    struct grpc_call *call =
        (struct grpc_call *)((uint8_t *)timer - offsetof(struct grpc_call, timer));

    grpc_call_cut(call, GRPC_DEADLINE_EXCEEDED, "deadline exceeded");
}

/* ---- what a method may ask and do ---- */

void grpc_call_pause(struct grpc_call *call)
{
    call->paused = true;
}

void grpc_call_resume(struct grpc_call *call)
{
    if (!call->paused)
        return;
    call->paused = false;
    grpc_receive(call, NULL, 0);
}

void *grpc_call_state(struct grpc_call *call)
{
    return call->state;
}

void *grpc_call_service_data(struct grpc_call *call)
{
    return call->entry->data;
}

struct grpc_server *grpc_call_server(struct grpc_call *call)
{
    return call->server;
}

struct grpc_arena *grpc_call_arena(struct grpc_call *call)
{
    return &call->arena;
}

bool grpc_call_hold(struct grpc_call *call, size_t len)
{
    return http2_stream_hold(&call->stream, len);
}

void grpc_call_release(struct grpc_call *call, size_t len)
{
    http2_stream_release(&call->stream, len);
}

size_t grpc_call_method_index(const struct grpc_call *call)
{
    return call->entry->method != NULL ? call->entry->index : call->server->methods.count;
}

h2o_iovec_t grpc_call_path(const struct grpc_call *call)
{
    return call->path;
}

uint64_t grpc_call_deadline(const struct grpc_call *call)
{
    return call->deadline;
}

uint64_t grpc_call_messages_in(const struct grpc_call *call)
{
    return call->messages_in;
}

uint64_t grpc_call_messages_out(const struct grpc_call *call)
{
    return call->messages_out;
}

uint64_t grpc_call_bytes_in(const struct grpc_call *call)
{
    return call->bytes_in;
}

uint64_t grpc_call_bytes_out(const struct grpc_call *call)
{
    return call->bytes_out;
}

uint64_t grpc_call_started_ns(const struct grpc_call *call)
{
    return call->started_ns;
}

uint64_t grpc_call_duration_ns(struct grpc_call *call)
{
    if (call->duration_ns == 0)
        call->duration_ns = grpc_server_read_clock_ns(call->server) - call->started_ns;
    return call->duration_ns;
}

h2o_iovec_t grpc_call_status_message(const struct grpc_call *call)
{
    return (h2o_iovec_t){.base = call->message, .len = call->message_len};
}

void *grpc_call_interceptor_state(struct grpc_call *call,
                                  const struct grpc_interceptor *interceptor)
{
    const struct grpc_server *server = call->server;

    for (unsigned i = 0; i < server->num_interceptors; i++)
        if (server->interceptors[i] == interceptor)
            return call->interceptor_state + server->interceptor_state_at[i];
    return NULL;
}

void grpc_call_set_identity(struct grpc_call *call, const char *name)
{
    call->identity = name;
}

const char *grpc_call_identity(const struct grpc_call *call)
{
    return call->identity;
}

const void *grpc_call_connection(const struct grpc_call *call)
{
    return call->stream.conn;
}

const char *grpc_call_peer(struct grpc_call *call)
{
    return http2_conn_peer(call->stream.conn);
}

const char *grpc_call_peer_subject(struct grpc_call *call)
{
    return http2_conn_subject(call->stream.conn);
}
