/* SPDX-License-Identifier: MIT */
/*
 * The request's body: messages out of bytes that come in any pieces. A message
 * that lies whole in the bytes at hand is delivered from there; else it is put
 * together in the call's inbox. While the call is held (paused, or its replies
 * wait for the client) nothing is delivered and the window of what comes is
 * kept back, so the client stops by itself.
 */
#include <stdlib.h>

#include "base/secret.h"
#include "grpc/internal.h"

enum { PREFIX = 5 };

/** What may be done with the bytes at hand. */
enum step {
    STEP_INCOMPLETE, /* wait for more */
    STEP_WAIT_END,   /* whole, but a single request counts only when the body ends */
    STEP_MESSAGE,
    STEP_FAILED, /* the call is finished */
};

/** How much memory is asked for: twice what there was, for bytes come in pieces, and no more than
 * the message has whose beginning is there. */
static size_t inbox_size(const struct grpc_inbox *inbox, size_t needed)
{
    size_t cap = inbox->cap != 0 ? 2 * inbox->cap : 256;
    uint32_t length;

    if (inbox->len >= PREFIX) {
        memcpy(&length, inbox->bytes + inbox->off + 1, sizeof(length));
        size_t whole = PREFIX + (size_t)__builtin_bswap32(length);
        if (whole >= needed && cap > whole)
            cap = whole;
    }
    return cap > needed ? cap : needed;
}

static void inbox_free(struct grpc_call *call)
{
    struct grpc_inbox *inbox = &call->inbox;

    if (grpc_call_secret(call))
        secret_free(inbox->bytes, inbox->cap);
    else
        free(inbox->bytes);
    http2_stream_release(&call->stream, inbox->cap);
}

/** @return NULL, or why there is no room for `more` bytes */
static const char *inbox_reserve(struct grpc_call *call, size_t more)
{
    struct grpc_inbox *inbox = &call->inbox;

    if (inbox->off != 0 && inbox->off + inbox->len + more > inbox->cap) {
        memmove(inbox->bytes, inbox->bytes + inbox->off, inbox->len);
        inbox->off = 0;
    }
    if (inbox->off + inbox->len + more <= inbox->cap)
        return NULL;
    size_t cap = inbox_size(inbox, inbox->len + more);
    if (!http2_stream_hold(&call->stream, cap))
        return GRPC_HOLDS_TOO_MUCH;
    /* Not realloc(), which would leave a copy of a secret behind. */
    uint8_t *bytes = grpc_call_secret(call) ? secret_alloc(cap) : malloc(cap);
    if (bytes == NULL) {
        http2_stream_release(&call->stream, cap);
        return "out of memory";
    }
    if (inbox->len != 0)
        memcpy(bytes, inbox->bytes + inbox->off, inbox->len);
    if (inbox->bytes != NULL)
        inbox_free(call);
    inbox->bytes = bytes;
    inbox->cap = cap;
    inbox->off = 0;
    return NULL;
}

static void inbox_append(struct grpc_call *call, uint8_t *data, size_t len)
{
    struct grpc_inbox *inbox = &call->inbox;

    const char *why = inbox_reserve(call, len);
    if (why != NULL) {
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, why);
        return;
    }
    memcpy(inbox->bytes + inbox->off + inbox->len, data, len);
    inbox->len += len;
    if (grpc_call_secret(call))
        explicit_bzero(data, len);
}

void grpc_receive_free(struct grpc_call *call)
{
    struct grpc_inbox *inbox = &call->inbox;

    if (inbox->bytes == NULL)
        return;
    inbox_free(call);
    inbox->bytes = NULL;
    inbox->off = inbox->len = inbox->cap = 0;
}

/** Gives back the window of all bytes but the last `keep`. */
static void settle_credit(struct grpc_call *call, size_t received, size_t keep)
{
    size_t owed = call->inbox.uncredited + received;

    if (keep > owed)
        keep = owed;
    call->inbox.uncredited = keep;
    if (owed != keep)
        http2_stream_consume(&call->stream, owed - keep);
}

void grpc_receive_discard(struct grpc_call *call)
{
    grpc_receive_free(call);
    grpc_partial_note(call, false);
    settle_credit(call, 0, 0);
}

/** Replies wait in the stream: one at most, as nothing more is taken then. */
static bool backed_up(const struct grpc_call *call)
{
    return call->entry->kind == GRPC_BIDI_STREAMING && http2_stream_pending(&call->stream) != 0;
}

/** Looks at the bytes of one message and what follows it. */
static enum step judge(struct grpc_call *call, const uint8_t *bytes, size_t len, size_t *size)
{
    uint32_t length;

    *size = PREFIX;
    if (len < PREFIX)
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
    memcpy(&length, bytes + 1, sizeof(length));
    length = __builtin_bswap32(length);
    if (length > grpc_call_max_request(call)) {
        call->server->oversized++;
        grpc_call_finishf(call, GRPC_RESOURCE_EXHAUSTED,
                          "message of %u bytes is larger than the maximum of %u", length,
                          grpc_call_max_request(call));
        return STEP_FAILED;
    }
    *size = PREFIX + (size_t)length;
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

/** Goes on with the message that the inbox holds the beginning of. @return bytes used of data */
static size_t fill_inbox(struct grpc_call *call, uint8_t *data, size_t len, enum step *step)
{
    struct grpc_inbox *inbox = &call->inbox;
    size_t used = 0, size;

    for (;;) {
        *step = judge(call, inbox->bytes + inbox->off, inbox->len, &size);
        size_t part = size - inbox->len;
        if (*step != STEP_INCOMPLETE || used == len)
            break;
        if (part > len - used)
            part = len - used;
        inbox_append(call, data + used, part);
        used += part;
        if (call->finished) {
            *step = STEP_FAILED;
            break;
        }
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
        grpc_deliver(call, inbox->bytes + at + PREFIX, size - PREFIX, inbox->bytes[at] == 1);
        if (inbox->len == 0)
            grpc_receive_free(call);
    }
    return used;
}

/** Whether something but the client keeps messages, or the body's end, from being delivered. */
static bool is_held(const struct grpc_call *call)
{
    return call->paused || call->stopped || backed_up(call);
}

/** Delivers what can be delivered. @return bytes used of data, the rest is to be kept */
static size_t deliver_all(struct grpc_call *call, uint8_t *data, size_t len)
{
    size_t used = 0, size;
    enum step step;

    while (!call->finished && !call->paused && !backed_up(call)) {
        call->stopped = !http2_stream_in_turn(&call->stream);
        if (call->stopped)
            break;
        if (call->inbox.len != 0) {
            used += fill_inbox(call, data + used, len - used, &step);
        } else {
            if (used == len)
                break;
            step = judge(call, data + used, len - used, &size);
            if (step == STEP_MESSAGE) {
                grpc_deliver(call, data + used + PREFIX, size - PREFIX, data[used] == 1);
                used += size;
            }
        }
        if (step != STEP_MESSAGE)
            break;
    }
    return used;
}

/** All that came has been delivered: is the body's end a good one? */
static void take_end(struct grpc_call *call)
{
    const struct grpc_method *method = call->entry->method;

    if (call->inbox.len != 0) {
        grpc_call_finish(call, GRPC_INTERNAL, "the request ends inside a message");
        return;
    }
    if (call->entry->single_request && call->messages_in == 0) {
        grpc_call_finish(call, GRPC_UNIMPLEMENTED, "no request message");
        return;
    }
    call->half_closed = true;
    if (method->on_half_close != NULL)
        method->on_half_close(call);
}

/** What waits goes on as soon as what holds it is gone. */
static void go_on_later(struct grpc_call *call)
{
    if (call->inbox.len == 0 && (!call->remote_end || call->half_closed))
        return;
    if (call->stopped)
        http2_stream_stop(&call->stream);
    else if (backed_up(call))
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
            inbox_append(call, data + used, len - used);
        if (!call->finished && call->remote_end && !call->half_closed && !is_held(call))
            take_end(call);
        call->busy = false;
    }
    if (call->finished) {
        if (grpc_call_secret(call) && len != 0)
            explicit_bzero(data + used, len - used);
        grpc_receive_free(call);
        settle_credit(call, len, 0);
        grpc_partial_note(call, false);
        if (call->rejected)
            grpc_request_end_rejected(call);
        return;
    }
    bool held = is_held(call);
    settle_credit(call, len, held ? call->inbox.len : 0);
    grpc_partial_note(call, !held && call->inbox.len != 0);
    go_on_later(call);
}
