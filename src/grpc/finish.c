/* SPDX-License-Identifier: MIT */
#include "grpc/finish.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/container_of.h"
#include "base/percent.h"
#include "base/utf8.h"
#include "grpc/inbox.h"
#include "grpc/partial.h"
#include "grpc/reply.h"

/** A status message longer than this would exceed the header list limits of clients. */
enum { MAX_STATUS_MESSAGE = 1024 };

/** Keeps the message for the trailers, percent-encoded. Without memory the status goes out alone.
 */
static void keep_message(struct grpc_call *call, const char *message)
{
    size_t len = strnlen(message, MAX_STATUS_MESSAGE + 4);
    len = utf8_cut(message, len, MAX_STATUS_MESSAGE);
    size_t encoded = percent_length(message, len);
    if (encoded != 0)
        call->message = grpc_arena_alloc(&call->arena, encoded);
    if (call->message == NULL)
        return;
    percent_encode(call->message, message, len);
    call->message_len = (uint32_t)encoded;
}

/** Frees the inbox and gives its window back. */
static void discard_inbox(struct grpc_call *call)
{
    grpc_inbox_free(call);
    grpc_partial_note(call, false);
    grpc_inbox_settle(call, 0, 0);
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
    if (!call->busy) /* else grpc_receive(), which runs the callback, frees the inbox */
        discard_inbox(call);
}

/** Whether trailers may go out now: nothing waits in the stream, or the stream is closed for
 * output. */
static bool can_end(const struct grpc_call *call)
{
    return http2_stream_pending(&call->stream) == 0 || call->stream.local_closed;
}

bool grpc_call_is_finished(const struct grpc_call *call)
{
    return call->finished;
}

void grpc_call_finish(struct grpc_call *call, enum grpc_status status, const char *message)
{
    if (call->finished)
        return;
    set_status(call, status, message);
    if (can_end(call))
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
    if (call->rejected) { /* an HTTP answer has no trailers */
        grpc_send_reset(call, HTTP2_CANCEL);
        return;
    }
    set_status(call, status, message);
    if (can_end(call))
        grpc_send_end(call);
    else
        grpc_send_reset(call, HTTP2_CANCEL);
}

void grpc_call_deadline_passed(struct timer *timer)
{
    grpc_call_cut(container_of(timer, struct grpc_call, timer), GRPC_DEADLINE_EXCEEDED,
                  "deadline exceeded");
}

void grpc_call_message_overdue(struct grpc_call *call)
{
    grpc_call_cut(call, GRPC_DEADLINE_EXCEEDED,
                  "the rest of a message did not come within message-timeout");
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
