/* SPDX-License-Identifier: MIT */
#include "grpc/trim.h"

#include <stdlib.h>

#include "base/container_of.h"
#include "grpc/compress.h"
#include "grpc/server.h"

enum { TRIM_KEEP_MS = 1000 };

static void on_trim_timer(struct timer *timer)
{
    struct grpc_server *server = container_of(timer, struct grpc_server, trim_timer);
    grpc_compress_trim(server->compress);
    if (server->stage_cap > GRPC_COMPRESS_KEEP && server->staged == NULL) {
        free(server->stage);
        server->stage = NULL;
        server->stage_cap = 0;
    }
}

void grpc_trim_init(struct grpc_server *server)
{
    server->trim_timer.expired = on_trim_timer;
}

void grpc_trim_later(struct grpc_server *server)
{
    timer_arm(server->timers, &server->trim_timer, grpc_server_now_ms(server) + TRIM_KEEP_MS);
}
