/* SPDX-License-Identifier: MIT */
#include "grpc/partial.h"

#include "base/container_of.h"

static void partial_leave(struct grpc_call *call)
{
    struct grpc_server *server = call->server;
    *call->partial_prev = call->partial_next;
    if (call->partial_next != NULL)
        call->partial_next->partial_prev = call->partial_prev;
    else
        server->partial_last = call->partial_prev;
    call->partial_prev = NULL;
}

static void on_partial_timer(struct timer *timer)
{
    struct grpc_server *server = container_of(timer, struct grpc_server, partial_timer);
    uint64_t now = grpc_server_now_ms(server);
    struct grpc_call *call;
    while ((call = server->partial_first) != NULL &&
           call->partial_at + server->message_timeout <= now) {
        partial_leave(call);
        server->overdue++;
        server->partial_overdue(call);
    }
    if (call != NULL)
        timer_arm(server->timers, timer, call->partial_at + server->message_timeout);
}

void grpc_partial_init(struct grpc_server *server, uint64_t timeout_ms,
                       void (*overdue)(struct grpc_call *call))
{
    server->message_timeout = timeout_ms;
    server->partial_overdue = overdue;
    server->partial_last = &server->partial_first;
    server->partial_timer.expired = on_partial_timer;
}

void grpc_partial_note(struct grpc_call *call, bool begun)
{
    struct grpc_server *server = call->server;
    if (begun == (call->partial_prev != NULL))
        return;
    if (!begun) {
        partial_leave(call);
        return;
    }
    if (server->message_timeout == 0)
        return;
    call->partial_at = grpc_server_now_ms(server);
    call->partial_next = NULL;
    call->partial_prev = server->partial_last;
    *server->partial_last = call;
    server->partial_last = &call->partial_next;
    if (!timer_armed(&server->partial_timer))
        timer_arm(server->timers, &server->partial_timer,
                  call->partial_at + server->message_timeout);
}
