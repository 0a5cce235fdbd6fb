/* SPDX-License-Identifier: MIT */
/*
 * A call's body bytes that cannot be used yet, and http2's flow-control window for them. The memory
 * counts as held for the connection. Where it may hold secrets, it is overwritten when it is freed.
 */
#ifndef ROSTERD_GRPC_INBOX_H
#define ROSTERD_GRPC_INBOX_H

#include "base/fault.h"
#include "grpc/call.h"

/** Copies bytes to the end of the inbox; overwrites them at `data` if they may be secret.
 * @return false with `fault` filled if there is no room; nothing was appended then */
bool grpc_inbox_append(struct grpc_call *call, uint8_t *data, size_t len, struct fault *fault);
/** Frees the inbox. What it held is lost. */
void grpc_inbox_free(struct grpc_call *call);

/**
 * Gives http2's window back for bytes that have been used.
 * @param received body bytes that have just come
 * @param keep how many of the call's newest bytes stay unused; their window is kept back, so that
 *   the client stops sending
 */
static inline void grpc_inbox_settle(struct grpc_call *call, size_t received, size_t keep)
{
    size_t owed = call->inbox.uncredited + received;
    if (keep > owed)
        keep = owed;
    call->inbox.uncredited = keep;
    if (owed != keep)
        http2_stream_consume(&call->stream, owed - keep);
}

#endif
