/* SPDX-License-Identifier: MIT */
/* What a server is made of, and what it says of itself. runtime.c creates, drives and ends it. */
#include "grpc/server.h"

#include <assert.h>

bool grpc_server_add_service(struct grpc_server *server, const struct grpc_service *service,
                             const uint8_t *descriptor_set, size_t len, void *data,
                             struct fault *fault)
{
    return grpc_methods_add(&server->methods, service, descriptor_set, len, data, fault);
}

void grpc_server_add_interceptor(struct grpc_server *server,
                                 const struct grpc_interceptor *interceptor)
{
    assert(server->num_interceptors < GRPC_MAX_INTERCEPTORS);
    assert(server->num_calls == 0); /* a call remembers how many interceptors it has passed */
    server->interceptors[server->num_interceptors++] = interceptor;
}

struct http2_context *grpc_server_http2(struct grpc_server *server)
{
    return server->http2;
}

struct timers *grpc_server_timers(struct grpc_server *server)
{
    return server->timers;
}

void grpc_server_poll_expect(struct grpc_server *server, uint64_t ns)
{
    grpc_poll_expect(&server->poll, ns);
}

uint64_t grpc_server_now_ms(const struct grpc_server *server)
{
    return timers_now(server->timers);
}

uint64_t grpc_server_overdue(const struct grpc_server *server)
{
    return server->overdue;
}

uint64_t grpc_server_oversized(const struct grpc_server *server)
{
    return server->oversized;
}

size_t grpc_server_calls(const struct grpc_server *server)
{
    return server->num_calls;
}

size_t grpc_server_method_count(const struct grpc_server *server)
{
    return server->methods.count + 1;
}

const char *grpc_server_method_service(const struct grpc_server *server, size_t index)
{
    return index < server->methods.count ? server->methods.entries[index]->service->name
                                         : "unknown";
}

const char *grpc_server_method_name(const struct grpc_server *server, size_t index)
{
    return index < server->methods.count ? server->methods.entries[index]->method->name : "unknown";
}
