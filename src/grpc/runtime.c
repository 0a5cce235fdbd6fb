/* SPDX-License-Identifier: MIT */
/* A server's life: it is created, driven by its loop, and ended. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/secret.h"
#include "grpc/call.h"
#include "grpc/compress.h"
#include "grpc/finish.h"
#include "grpc/handler.h"
#include "grpc/partial.h"
#include "grpc/server.h"
#include "grpc/trim.h"

enum { SECRET_SCRATCH = 4096 }; /* most messages with a password need less */

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
    server->handler = grpc_handler_of(server);
    grpc_arena_init(&server->scratch, server->scratch_memory, sizeof(server->scratch_memory));
    void *secret = secret_alloc(SECRET_SCRATCH);
    grpc_arena_init(&server->secret_scratch, secret, secret != NULL ? SECRET_SCRATCH : 0);
    server->secret_scratch.secret = true;
    grpc_partial_init(server, config->message_timeout, grpc_call_message_overdue);
    grpc_trim_init(server);
    /* Not libh2o's clock: that is the time of day, and setting it back or forth would end all calls
     * that have a deadline, or none in time. */
    server->timers = timers_create(clock_monotonic_ms());
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
    assert(server->num_calls == 0 && server->calls == NULL);
    assert(server->partial_first == NULL && !server->scratch_busy);
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

void grpc_server_run_once(struct grpc_server *server, int32_t max_wait_ms)
{
    timers_stale(server->timers);
    int32_t wait = http2_context_pending(server->http2)
                       ? 0
                       : timers_wait(server->timers, timers_now(server->timers));
    if (wait < 0 || (max_wait_ms >= 0 && wait > max_wait_ms))
        wait = max_wait_ms >= 0 ? max_wait_ms : INT32_MAX;
    timers_stale(server->timers); /* the next timers_now() comes after the wait */
    server->clock_ns = 0;
    /* A signal ends the wait early; the caller looks at that. */
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
