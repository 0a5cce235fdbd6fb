/* SPDX-License-Identifier: MIT */
#include "grpc/reject.h"

#include <assert.h>
#include <string.h>

#include "grpc/reply.h"

void grpc_reject_end(struct grpc_call *call)
{
    assert(call->rejected);
    /* The rest of a request that is not gRPC may still be malformed, and that error must be
     * reported, too. So the stream stays open until the request ends (RFC 9113 8.1.1). */
    if (call->ended || call->stream.local_closed || (call->foreign && !call->remote_end))
        return;
    if (http2_stream_pending(&call->stream) != 0) {
        http2_stream_want_write(&call->stream);
        return;
    }
    call->ended = true;
    http2_stream_end(&call->stream);
}

void grpc_reject(struct grpc_call *call, const struct http2_request *request, unsigned status,
                 const char *text)
{
    static const struct http2_field text_plain = {
        .name = "content-type", .name_len = 12, .value = "text/plain", .value_len = 10};
    static const struct http2_field internal = {
        .name = "grpc-status", .name_len = 11, .value = "13", .value_len = 2};
    static const struct http2_field allow = {
        .name = "allow", .name_len = 5, .value = "POST", .value_len = 4};
    struct http2_field fields[3] = {text_plain, internal, allow};
    bool head_only = request->method.len == 4 && memcmp(request->method.base, "HEAD", 4) == 0;
    size_t len = strlen(text), num_fields = status == 415 ? 1 : status == 405 ? 3 : 2;
    call->finished = true;
    call->rejected = true;
    /* what gRPC clients make of the HTTP status (http-grpc-status-mapping.md) */
    call->status = status == 415 ? GRPC_UNKNOWN : GRPC_INTERNAL;
    call->message = (char *)(uintptr_t)text; /* plain ASCII: nothing to encode */
    call->message_len = (uint32_t)len - 1;   /* without the newline */
    http2_stream_send_headers(&call->stream, status, fields, num_fields, head_only);
    call->foreign = status == 415;
    call->ended = head_only;
    if (head_only)
        return;
    uint8_t *to = http2_stream_reserve(&call->stream, len);
    if (to == NULL) { /* its window is closed, and the connection holds too much */
        grpc_send_reset(call, HTTP2_ENHANCE_YOUR_CALM);
        return;
    }
    memcpy(to, text, len);
    grpc_reject_end(call);
}
