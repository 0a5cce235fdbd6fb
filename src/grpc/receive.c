/* SPDX-License-Identifier: MIT */
#include "grpc/receive.h"

#include <assert.h>
#include <string.h>
#include <sys/param.h>

#include "grpc/deliver.h"
#include "grpc/finish.h"
#include "grpc/inbox.h"
#include "grpc/partial.h"
#include "grpc/prefix.h"
#include "grpc/reject.h"
#include "grpc/server.h"

/** What can be done with the bytes at hand. */
enum receive_step {
    STEP_INCOMPLETE, /* wait for more */
    STEP_WAIT_END,   /* a whole message, but a single request is delivered when the body ends */
    STEP_MESSAGE,    /* a whole message to deliver */
    STEP_FAILED,     /* the call is finished */
};

/** Keeps bytes in the inbox. @return false: that failed, and the call is finished */
static bool keep_bytes(struct grpc_call *call, uint8_t *data, size_t len)
{
    struct fault fault;
    if (grpc_inbox_append(call, data, len, &fault))
        return true;
    grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, fault.text);
    return false;
}

/** Whether replies of a bidirectional call wait in the stream. Nothing is delivered then, so that
 * no more than the replies to one message wait. */
static bool is_backed_up(const struct grpc_call *call)
{
    return !call->entry->single_request && call->entry->streaming_reply &&
           http2_stream_pending(&call->stream) != 0;
}

/** Looks at the bytes of a message and at whether more follows.
 * @param size set to the bytes of the whole message with its prefix, as far as they are known */
static enum receive_step judge_message(struct grpc_call *call, const uint8_t *bytes, size_t len,
                                       size_t *size)
{
    *size = GRPC_PREFIX_SIZE;
    if (len < GRPC_PREFIX_SIZE)
        return STEP_INCOMPLETE;
    if (bytes[0] > 1) {
        grpc_call_finishf(call, GRPC_INTERNAL, "bad compressed flag %u", bytes[0]);
        return STEP_FAILED;
    }
    if (bytes[0] == 1 && (call->entry->method->flags & GRPC_METHOD_PLAIN) != 0) {
        call->unsupported_encoding = true;
        grpc_call_finish(call, GRPC_UNIMPLEMENTED, "this method takes no compressed messages");
        return STEP_FAILED;
    }
    if (bytes[0] == 1 && call->request_encoding == 0) {
        grpc_call_finish(call, GRPC_INTERNAL, "compressed message without a grpc-encoding");
        return STEP_FAILED;
    }
    uint32_t length = grpc_prefix_length(bytes);
    if (length > grpc_call_max_request(call)) {
        call->server->oversized++;
        grpc_call_finishf(call, GRPC_RESOURCE_EXHAUSTED,
                          "message of %u bytes is larger than the maximum of %u", length,
                          grpc_call_max_request(call));
        return STEP_FAILED;
    }
    *size = GRPC_PREFIX_SIZE + (size_t)length;
    if (len < *size)
        return STEP_INCOMPLETE;
    if (!call->entry->single_request)
        return STEP_MESSAGE;
    if (len > *size || call->messages_in != 0) {
        grpc_call_finish(call, GRPC_UNIMPLEMENTED, "more than one request message");
        return STEP_FAILED;
    }
    return call->remote_end ? STEP_MESSAGE : STEP_WAIT_END;
}

/** Completes the message whose beginning is in the inbox, and delivers it.
 * @param step set to what became of the message
 * @return bytes used of data */
static size_t receive_by_inbox(struct grpc_call *call, uint8_t *data, size_t len,
                               enum receive_step *step)
{
    struct grpc_inbox *inbox = &call->inbox;
    size_t used = 0, size;
    for (;;) {
        *step = judge_message(call, inbox->bytes + inbox->off, inbox->len, &size);
        if (*step != STEP_INCOMPLETE || used == len)
            break;
        size_t part = MIN(size - inbox->len, len - used);
        if (!keep_bytes(call, data + used, part)) {
            *step = STEP_FAILED;
            break;
        }
        used += part;
    }
    if (call->entry->single_request && used < len &&
        (*step == STEP_MESSAGE || *step == STEP_WAIT_END)) {
        grpc_call_finish(call, GRPC_UNIMPLEMENTED, "more than one request message");
        *step = STEP_FAILED;
    }
    if (*step == STEP_MESSAGE) {
        size_t at = inbox->off;
        inbox->off += size;
        inbox->len -= size;
        grpc_deliver(call, inbox->bytes + at + GRPC_PREFIX_SIZE, size - GRPC_PREFIX_SIZE,
                     inbox->bytes[at] == 1);
        if (inbox->len == 0)
            grpc_inbox_free(call);
    }
    return used;
}

/** Whether the server itself holds back messages, or the end of the body. */
static bool is_held(const struct grpc_call *call)
{
    return call->paused || call->stopped || is_backed_up(call);
}

/** Delivers what can be delivered. @return bytes used of data; the caller keeps the rest */
static size_t deliver_all(struct grpc_call *call, uint8_t *data, size_t len)
{
    size_t used = 0, size;
    while (!call->finished && !call->paused && !is_backed_up(call)) {
        call->stopped = !http2_stream_in_turn(&call->stream);
        if (call->stopped)
            break;
        enum receive_step step;
        if (call->inbox.len != 0) {
            used += receive_by_inbox(call, data + used, len - used, &step);
        } else {
            if (used == len)
                break;
            step = judge_message(call, data + used, len - used, &size);
            if (step == STEP_MESSAGE) {
                grpc_deliver(call, data + used + GRPC_PREFIX_SIZE, size - GRPC_PREFIX_SIZE,
                             data[used] == 1);
                used += size;
            }
        }
        if (step != STEP_MESSAGE)
            break;
    }
    return used;
}

/** Everything that came has been delivered, and the body has ended: on_half_close, unless the body
 * ended in the wrong place. */
static void half_close(struct grpc_call *call)
{
    assert(call->remote_end && !call->half_closed);
    if (call->inbox.len != 0) {
        grpc_call_finish(call, GRPC_INTERNAL, "the request ends inside a message");
        return;
    }
    if (call->entry->single_request && call->messages_in == 0) {
        grpc_call_finish(call, GRPC_UNIMPLEMENTED, "no request message");
        return;
    }
    call->half_closed = true;
    const struct grpc_method *method = call->entry->method;
    if (method->on_half_close != NULL)
        method->on_half_close(call);
}

/** If messages or the end of the body wait, asks http2 for the event that lets them go on. */
static void receive_later(struct grpc_call *call)
{
    if (call->inbox.len == 0 && (!call->remote_end || call->half_closed))
        return;
    if (call->stopped)
        http2_stream_stop(&call->stream);
    else if (is_backed_up(call))
        http2_stream_want_write(&call->stream);
}

void grpc_receive(struct grpc_call *call, uint8_t *data, size_t len)
{
    size_t used = 0;
    if (!call->finished && !call->busy) {
        call->busy = true;
        call->stopped = false;
        used = deliver_all(call, data, len);
        if (!call->finished && used != len)
            (void)keep_bytes(call, data + used, len - used);
        if (!call->finished && call->remote_end && !call->half_closed && !is_held(call))
            half_close(call);
        call->busy = false;
    }
    if (call->finished) {
        if (grpc_call_secret(call) && len != 0)
            explicit_bzero(data + used, len - used);
        grpc_inbox_free(call);
        grpc_inbox_settle(call, len, 0);
        grpc_partial_note(call, false);
        if (call->rejected)
            grpc_reject_end(call);
        return;
    }
    bool held = is_held(call);
    grpc_inbox_settle(call, len, held ? call->inbox.len : 0);
    grpc_partial_note(call, !held && call->inbox.len != 0);
    receive_later(call);
}

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
