/* SPDX-License-Identifier: MIT */
/*
 * Messages that begin and do not end: the bytes that came are kept, so the rest has a time. All
 * have the same, so the calls stand in a list in the order in which their messages began, and one
 * timer looks at its head. A call that we hold back (paused, or its replies wait) has no such
 * message: what comes then is held by flow control.
 */
#include "grpc/internal.h"

static void leave(struct grpc_call *call)
{
    struct grpc_server *server = call->server;
    *call->partial_prev = call->partial_next;
    if (call->partial_next != NULL)
        call->partial_next->partial_prev = call->partial_prev;
    else
        server->partial_last = call->partial_prev;
    call->partial_prev = NULL;
}

static void on_timer(struct timer *timer)
{
    struct grpc_server *server =
        (struct grpc_server *)((uint8_t *)timer - offsetof(struct grpc_server, partial_timer));
    uint64_t now = grpc_server_now_ms(server);
    struct grpc_call *call;
    while ((call = server->partial_first) != NULL &&
           call->partial_at + server->message_timeout <= now) {
        leave(call);
        server->overdue++;
        grpc_call_cut(call, GRPC_DEADLINE_EXCEEDED,
                      "the rest of a message did not come within message-timeout");
    }
    if (call != NULL)
        timer_arm(server->timers, timer, call->partial_at + server->message_timeout);
}

void grpc_partial_init(struct grpc_server *server, uint64_t timeout_ms)
{
    server->message_timeout = timeout_ms;
    server->partial_last = &server->partial_first;
    server->partial_timer.expired = on_timer;
}

void grpc_partial_note(struct grpc_call *call, bool begun)
{
    struct grpc_server *server = call->server;
    if (begun == (call->partial_prev != NULL))
        return;
    if (!begun) {
        leave(call);
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
