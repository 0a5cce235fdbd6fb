/* SPDX-License-Identifier: MIT */
/* Accessors of a call. */
#include "grpc/call.h"

#include "grpc/server.h"

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

size_t grpc_call_may_hold(const struct grpc_call *call)
{
    return http2_stream_may_hold(&call->stream);
}

size_t grpc_call_method_index(const struct grpc_call *call)
{
    /* The unknown method's index is the last one. */
    return call->entry->method != NULL ? call->entry->index : call->server->methods.count;
}

const struct grpc_method *grpc_call_method(const struct grpc_call *call)
{
    return call->entry->method;
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

size_t grpc_call_peer_key(const struct grpc_call *call, uint8_t key[ADDRESS_KEY_MAX])
{
    return http2_conn_peer_key(call->stream.conn, key);
}

const char *grpc_call_peer_subject(struct grpc_call *call)
{
    return http2_conn_subject(call->stream.conn);
}
