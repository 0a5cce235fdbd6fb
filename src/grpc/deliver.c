/* SPDX-License-Identifier: MIT */
#include "grpc/deliver.h"

#include <assert.h>
#include <string.h>

#include "grpc/codec.h"
#include "grpc/compress.h"
#include "grpc/decode.h"
#include "grpc/finish.h"
#include "grpc/partial.h"
#include "grpc/prefix.h"
#include "grpc/server.h"
#include "grpc/trim.h"

/* Work for http2_stream_work(). */
enum {
    MESSAGE_WORK = 256, /* of each message, in addition to its bytes */
    WIRE_WORK = 16,     /* of each compressed byte, in addition to what it inflates to */
};

/** A message on its way to its method. */
struct delivery {
    uint8_t *bytes; /* as they came; inflated, if there is an inflater, as soon as that is done */
    size_t len;
    size_t max_fields;              /* bound for an inflated message */
    struct grpc_compress *inflater; /* owns the inflated bytes; NULL: the message came plain */
    struct grpc_arena *arena;       /* for the decoded message */
};

uint32_t grpc_call_max_request(const struct grpc_call *call)
{
    uint32_t own = call->entry->method->max_request, all = call->server->max_message_size;
    return own != 0 && own < all ? own : all;
}

/** Finishes the call because its message was not decoded. */
static void finish_undecoded(struct grpc_call *call, enum grpc_decode_result result,
                             const struct delivery *message)
{
    switch (result) {
    case GRPC_DECODE_TOO_MANY:
        call->server->oversized++;
        grpc_call_finishf(call, GRPC_RESOURCE_EXHAUSTED,
                          "message has more than the maximum of %zu fields", message->max_fields);
        return;
    case GRPC_DECODE_TOO_LARGE:
        call->server->oversized++;
        grpc_call_finishf(call, GRPC_RESOURCE_EXHAUSTED,
                          "message of %zu bytes would take more than twice that and %d bytes of "
                          "memory",
                          message->len, GRPC_DECODE_SPARE);
        return;
    case GRPC_DECODE_NO_MEMORY:
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "out of memory");
        return;
    default:
        grpc_call_finishf(call, GRPC_INTERNAL, "request does not parse as %s",
                          call->entry->method->request->name);
    }
}

/** Decodes a message into the arena and hands it to the method. */
static void deliver_decoded(struct grpc_call *call, const struct delivery *from)
{
    const struct grpc_method *method = call->entry->method;
    const struct grpc_codec *codec = call->entry->codec;
    bool secret = grpc_call_secret(call);
    ProtobufCMessage *message;
    enum grpc_decode_result result =
        from->inflater != NULL ? grpc_decode_in_place(codec, from->arena, from->bytes, from->len,
                                                      from->max_fields, &message)
                               : grpc_decode(codec, from->arena, from->bytes, from->len, &message);
    if (secret && from->inflater == NULL)
        explicit_bzero(from->bytes, from->len);
    struct grpc_field_name where;
    if (result != GRPC_DECODED) {
        finish_undecoded(call, result, from);
    } else if (!grpc_codec_check_text(codec, message, &where)) {
        grpc_call_finishf(call, GRPC_INTERNAL, "field %s of %s is not valid UTF-8", where.field,
                          where.message);
    } else {
        call->messages_in++;
        if (method->on_message != NULL)
            method->on_message(call, message);
        (void)grpc_call_hold_arena(call);
    }
    grpc_arena_clear(from->arena, secret);
}

/** Replaces the message's bytes by what they inflate to.
 * @return false: that failed, and the call is finished */
static bool inflate_message(struct grpc_call *call, struct delivery *message)
{
    uint8_t *wire = message->bytes;
    size_t len = message->len;
    message->max_fields = grpc_decode_fields_of(len);
    enum grpc_inflate_result result =
        grpc_inflate(message->inflater, call->request_encoding, wire, len,
                     grpc_call_max_request(call), &message->bytes, &message->len);
    /* Work counts even if it ends in an error. */
    http2_stream_work(&call->stream, message->len + WIRE_WORK * len);
    if (grpc_call_secret(call))
        explicit_bzero(wire, len);
    switch (result) {
    case GRPC_INFLATE_DONE:
        return true;
    case GRPC_INFLATE_TOO_LARGE:
        call->server->oversized++;
        grpc_call_finishf(call, GRPC_RESOURCE_EXHAUSTED,
                          "message inflates to more than the maximum of %u bytes",
                          grpc_call_max_request(call));
        return false;
    case GRPC_INFLATE_NO_MEMORY:
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "out of memory");
        return false;
    default:
        grpc_call_finishf(call, GRPC_INTERNAL, "message is no valid %s",
                          grpc_compress_name(call->request_encoding));
        return false;
    }
}

static void deliver_message(struct grpc_call *call, struct delivery *message)
{
    if (message->inflater == NULL) {
        deliver_decoded(call, message);
        return;
    }
    if (inflate_message(call, message))
        deliver_decoded(call, message);
    if (grpc_call_secret(call))
        grpc_compress_forget(message->inflater);
    if (grpc_compress_is_large(call->server->compress))
        grpc_trim_later(call->server);
}

/** Delivers a message while on_message of another call runs, which has resumed this call: the
 * server's arena and inflater are occupied by the outer message. */
static void deliver_nested(struct grpc_call *call, struct delivery *message)
{
    if (message->inflater != NULL && (message->inflater = grpc_compress_create()) == NULL) {
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "out of memory");
        return;
    }
    struct grpc_arena arena;
    grpc_arena_init(&arena, NULL, 0);
    arena.secret = grpc_call_secret(call);
    /* cppcheck-suppress autoVariables ; reset below, once the message has been delivered */
    message->arena = &arena;
    deliver_message(call, message);
    message->arena = NULL;
    grpc_compress_destroy(message->inflater);
}

void grpc_deliver(struct grpc_call *call, uint8_t *bytes, size_t len, bool compressed)
{
    assert(!call->finished);
    struct grpc_server *server = call->server;
    struct delivery message = {.bytes = bytes,
                               .len = len,
                               .max_fields = GRPC_DECODE_MAX_FIELDS,
                               .inflater = compressed ? server->compress : NULL,
                               .arena = grpc_call_secret(call) ? &server->secret_scratch
                                                               : &server->scratch};
    call->inflated_from = compressed ? (uint32_t)len : 0;
    call->bytes_in += GRPC_PREFIX_SIZE + len;
    if (call->partial_prev != NULL)
        grpc_partial_note(call, false);
    http2_stream_work(&call->stream, MESSAGE_WORK);
    if (server->scratch_busy) {
        deliver_nested(call, &message);
        return;
    }
    server->scratch_busy = true;
    deliver_message(call, &message);
    server->scratch_busy = false;
}
