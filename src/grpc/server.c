/* SPDX-License-Identifier: MIT */
/* One per worker: the services, the chain, the open calls, the loop's turn. */
#include <stdlib.h>
#include <time.h>

#include "base/secret.h"
#include "grpc/internal.h"

enum { SECRET_SCRATCH = 4096 }; /* most messages with a password need less */

/* A clock that nobody sets: libh2o's own is the time of day, and a correction
 * of that would end every call that has a deadline, or none in time. */
static uint64_t read_clock_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

struct grpc_server *grpc_server_create(h2o_loop_t *loop, const struct grpc_config *config)
{
    struct grpc_server *server = aligned_alloc(GRPC_ARENA_ALIGN, sizeof(*server));

    if (server == NULL)
        return NULL;
    memset(server, 0, offsetof(struct grpc_server, scratch_memory));
    server->loop = loop;
    server->max_message_size = config->max_message_size;
    server->compression = config->compression;
    server->compression_min_size = config->compression_min_size;
    grpc_poll_init(&server->poll, config->busy_poll_us);
    server->handler = (struct http2_handler){
        .stream_size = sizeof(struct grpc_call),
        .on_request = grpc_request_open,
        .on_data = grpc_call_on_data,
        .on_trailers = grpc_call_on_trailers,
        .on_writable = grpc_call_on_writable,
        .on_turn = grpc_call_on_turn,
        .on_close = grpc_call_on_close,
        .data = server,
    };
    grpc_arena_init(&server->scratch, server->scratch_memory, sizeof(server->scratch_memory));
    void *secret = secret_alloc(SECRET_SCRATCH);
    grpc_arena_init(&server->secret_scratch, secret, secret != NULL ? SECRET_SCRATCH : 0);
    server->secret_scratch.secret = true;
    grpc_partial_init(server, config->message_timeout);
    grpc_trim_init(server);
    server->timers = timers_create(read_clock_ns() / 1000000);
    server->compress = grpc_compress_create();
    if (server->timers != NULL && server->compress != NULL && secret != NULL)
        server->http2 =
            http2_context_create(loop, server->timers, &server->handler, &config->http2);
    if (server->http2 == NULL) {
        if (server->timers != NULL)
            timers_destroy(server->timers);
        grpc_compress_destroy(server->compress);
        secret_free(secret, SECRET_SCRATCH);
        free(server);
        return NULL;
    }
    return server;
}

void grpc_server_destroy(struct grpc_server *server)
{
    http2_context_destroy(server->http2);
    timer_disarm(server->timers, &server->partial_timer);
    timer_disarm(server->timers, &server->trim_timer);
    timers_destroy(server->timers);
    grpc_arena_clear(&server->scratch, true);
    grpc_arena_clear(&server->secret_scratch, true);
    secret_free(server->secret_scratch.first, SECRET_SCRATCH);
    grpc_methods_free(&server->methods);
    grpc_compress_destroy(server->compress);
    free(server->stage);
    free(server);
}

const char *grpc_server_add_service(struct grpc_server *server, const struct grpc_service *service,
                                    const uint8_t *descriptor_set, size_t len, void *data)
{
    return grpc_methods_add(&server->methods, service, descriptor_set, len, data);
}

void grpc_server_add_interceptor(struct grpc_server *server,
                                 const struct grpc_interceptor *interceptor)
{
    if (server->num_interceptors == GRPC_MAX_INTERCEPTORS)
        abort(); /* the chain is fixed when the program is written */
    size_t align = _Alignof(max_align_t);
    server->interceptor_state_at[server->num_interceptors] = server->interceptor_state_size;
    server->interceptor_state_size += (interceptor->state_size + align - 1) / align * align;
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

uint64_t grpc_server_now_ms(const struct grpc_server *server)
{
    return timers_now(server->timers);
}

uint64_t grpc_server_clock_ns(struct grpc_server *server)
{
    if (server->clock_ns == 0)
        server->clock_ns = read_clock_ns();
    return server->clock_ns;
}

uint64_t grpc_server_read_clock_ns(struct grpc_server *server)
{
    return server->clock_ns = read_clock_ns();
}

void grpc_server_run_once(struct grpc_server *server, int32_t max_wait_ms)
{
    timers_stale(server->timers);
    int32_t wait = http2_context_pending(server->http2)
                       ? 0
                       : timers_wait(server->timers, timers_now(server->timers));

    if (wait < 0 || (max_wait_ms >= 0 && wait > max_wait_ms))
        wait = max_wait_ms >= 0 ? max_wait_ms : INT32_MAX;
    timers_stale(server->timers); /* read again when the wait is over and someone asks */
    server->clock_ns = 0;
    /* A signal ends the wait early: the caller looks at that. */
    grpc_poll_turn(&server->poll, server->http2, wait);
    timers_stale(server->timers);
    timers_run(server->timers, timers_now(server->timers));
    (void)http2_context_run(server->http2);
}

void grpc_server_shutdown(struct grpc_server *server)
{
    http2_context_shutdown(server->http2);
}

void grpc_server_end_calls(struct grpc_server *server, enum grpc_status status, const char *message)
{
    server->ended = true;
    server->end_status = status;
    server->end_message = message;
    for (struct grpc_call *call = server->calls, *next; call != NULL; call = next) {
        next = call->next;
        grpc_call_cut(call, status, message);
    }
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

enum grpc_kind grpc_server_method_kind(const struct grpc_server *server, size_t index)
{
    return index < server->methods.count ? server->methods.entries[index]->kind : GRPC_UNARY;
}
