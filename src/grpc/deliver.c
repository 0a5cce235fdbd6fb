/* SPDX-License-Identifier: MIT */
/*
 * A whole message, from its bytes to its method. One that was compressed is read where it was
 * inflated to, and stays there until its method has seen it: a copy of it would cost as much as
 * inflating it did, and who sends little that becomes much pays for neither.
 */
#include "grpc/decode.h"
#include "grpc/internal.h"

enum {
    PREFIX = 5,
    MESSAGE_WORK = 256, /* what a message counts as, beside its bytes: see http2_stream_work() */
    WIRE_WORK = 16,     /* and each of its compressed bytes, beside what they inflate to */
    KEEP_MS = 1000,     /* what large messages needed is kept so long for the next */
};

struct delivery {
    uint8_t *bytes;
    size_t len;
    size_t max_fields;
    struct grpc_compress *inflated; /* whose bytes they are; NULL: they came as they are */
    struct grpc_arena *arena;
};

uint32_t grpc_call_max_request(const struct grpc_call *call)
{
    uint32_t own = call->entry->method->max_request, all = call->server->max_message_size;

    return own != 0 && own < all ? own : all;
}

/** The call ends with what is wrong with its message. */
static void tell_why(struct grpc_call *call, enum grpc_decode_result result,
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
    struct grpc_field_name where;
    ProtobufCMessage *message;
    enum grpc_decode_result result;

    if (from->inflated != NULL)
        result = grpc_decode_in_place(codec, from->arena, from->bytes, from->len, from->max_fields,
                                      &message);
    else
        result = grpc_decode(codec, from->arena, from->bytes, from->len, &message);
    if (secret && from->inflated == NULL)
        explicit_bzero(from->bytes, from->len);
    if (result != GRPC_DECODED) {
        tell_why(call, result, from);
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

/** @return false: the call is finished with the reason */
static bool inflate_message(struct grpc_call *call, struct delivery *message)
{
    uint8_t *wire = message->bytes;
    size_t len = message->len;

    message->max_fields = grpc_decode_fields_of(len);
    enum grpc_inflate_result result =
        grpc_inflate(message->inflated, call->request_encoding, wire, len,
                     grpc_call_max_request(call), &message->bytes, &message->len);
    /* also where it was all for nothing */
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
    if (message->inflated == NULL) {
        deliver_decoded(call, message);
        return;
    }
    if (inflate_message(call, message))
        deliver_decoded(call, message);
    if (grpc_call_secret(call))
        grpc_compress_forget(message->inflated);
    if (grpc_compress_is_large(call->server->compress))
        grpc_trim_later(call->server);
}

/** A callback of one call resumed another: the outer message must stay. */
static void deliver_nested(struct grpc_call *call, struct delivery *message)
{
    struct grpc_arena arena;

    if (message->inflated != NULL && (message->inflated = grpc_compress_create()) == NULL) {
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "out of memory");
        return;
    }
    grpc_arena_init(&arena, NULL, 0);
    arena.secret = grpc_call_secret(call);
    /* cppcheck-suppress autoVariables ; until the message has been delivered */
    message->arena = &arena;
    deliver_message(call, message);
    message->arena = NULL;
    grpc_compress_destroy(message->inflated);
}

void grpc_deliver(struct grpc_call *call, uint8_t *bytes, size_t len, bool compressed)
{
    struct grpc_server *server = call->server;
    struct delivery message = {.bytes = bytes,
                               .len = len,
                               .max_fields = GRPC_DECODE_MAX_FIELDS,
                               .inflated = compressed ? server->compress : NULL,
                               .arena = grpc_call_secret(call) ? &server->secret_scratch
                                                               : &server->scratch};

    call->inflated_from = compressed ? (uint32_t)len : 0;
    call->bytes_in += PREFIX + len;
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

/* ---- what large messages leave ---- */

static void on_trim_timer(struct timer *timer)
{
    struct grpc_server *server =
        (struct grpc_server *)((uint8_t *)timer - offsetof(struct grpc_server, trim_timer));

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
    timer_arm(server->timers, &server->trim_timer, grpc_server_now_ms(server) + KEEP_MS);
}
