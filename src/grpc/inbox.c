/* SPDX-License-Identifier: MIT */
#include "grpc/inbox.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#include "base/secret.h"
#include "grpc/prefix.h"

enum { FIRST_SIZE = 256 };

/** The size of the next buffer: twice the last one's, because bytes come in pieces, but no more
 * than the message has whose prefix is there. */
static size_t inbox_size(const struct grpc_inbox *inbox, size_t needed)
{
    size_t cap = inbox->cap != 0 ? 2 * inbox->cap : FIRST_SIZE;
    if (inbox->len >= GRPC_PREFIX_SIZE) {
        size_t whole = GRPC_PREFIX_SIZE + (size_t)grpc_prefix_length(inbox->bytes + inbox->off);
        if (whole >= needed && cap > whole)
            cap = whole;
    }
    return MAX(cap, needed);
}

static void free_bytes(struct grpc_call *call)
{
    struct grpc_inbox *inbox = &call->inbox;
    if (grpc_call_secret(call))
        secret_free(inbox->bytes, inbox->cap);
    else
        free(inbox->bytes);
    http2_stream_release(&call->stream, inbox->cap);
}

static bool inbox_reserve(struct grpc_call *call, size_t more, struct fault *fault)
{
    struct grpc_inbox *inbox = &call->inbox;
    assert(inbox->off + inbox->len <= inbox->cap);
    if (inbox->off != 0 && inbox->off + inbox->len + more > inbox->cap) {
        memmove(inbox->bytes, inbox->bytes + inbox->off, inbox->len);
        inbox->off = 0;
    }
    if (inbox->off + inbox->len + more <= inbox->cap)
        return true;
    size_t cap = inbox_size(inbox, inbox->len + more);
    if (!http2_stream_hold(&call->stream, cap))
        return fault_set(fault, GRPC_HOLDS_TOO_MUCH);
    /* Not realloc(), which would leave a copy of a secret behind. */
    uint8_t *bytes = grpc_call_secret(call) ? secret_alloc(cap) : malloc(cap);
    if (bytes == NULL) {
        http2_stream_release(&call->stream, cap);
        return fault_set(fault, "out of memory");
    }
    if (inbox->len != 0)
        memcpy(bytes, inbox->bytes + inbox->off, inbox->len);
    if (inbox->bytes != NULL)
        free_bytes(call);
    inbox->bytes = bytes;
    inbox->cap = cap;
    inbox->off = 0;
    return true;
}

bool grpc_inbox_append(struct grpc_call *call, uint8_t *data, size_t len, struct fault *fault)
{
    if (!inbox_reserve(call, len, fault))
        return false;
    struct grpc_inbox *inbox = &call->inbox;
    memcpy(inbox->bytes + inbox->off + inbox->len, data, len);
    inbox->len += len;
    if (grpc_call_secret(call))
        explicit_bzero(data, len);
    return true;
}

void grpc_inbox_free(struct grpc_call *call)
{
    struct grpc_inbox *inbox = &call->inbox;
    if (inbox->bytes == NULL)
        return;
    free_bytes(call);
    inbox->bytes = NULL;
    inbox->off = inbox->len = inbox->cap = 0;
}
