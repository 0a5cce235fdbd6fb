/* SPDX-License-Identifier: MIT */
/* Replies: messages, each with its prefix. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "grpc/call.h"
#include "grpc/compress.h"
#include "grpc/prefix.h"
#include "grpc/reply.h"
#include "grpc/server.h"
#include "grpc/trim.h"

enum {
    ECHO_SPARE = 16 * 1024, /* is_echo_of_little() */
    ECHO_RATIO = 256,
    /* What deflating a message counts as (http2_stream_work()): to begin, and for each byte. */
    DEFLATE_WORK = 8192,
    DEFLATE_WORK_PER_BYTE = 8,
};

_Static_assert((int)GRPC_GIVE_HEAD == (int)GRPC_PREFIX_SIZE, "the prefix is written there");

/** Memory for a message that grpc_call_commit() will compress. @return NULL: out of memory */
static uint8_t *stage_message(struct grpc_call *call, size_t len)
{
    struct grpc_server *server = call->server;
    if (len > server->stage_cap) {
        free(server->stage);
        server->stage = malloc(len);
        server->stage_cap = server->stage != NULL ? len : 0;
    }
    if (server->stage == NULL)
        return NULL;
    server->staged = call;
    server->stage_len = len;
    return server->stage;
}

/** Reserves room in the stream for a message and writes its prefix.
 * @return where the message belongs; NULL: the connection holds too much, the call is finished */
static inline uint8_t *send_prefix(struct grpc_call *call, size_t len, uint8_t compressed)
{
    uint8_t *to = http2_stream_reserve(&call->stream, GRPC_PREFIX_SIZE + len);
    if (to == NULL) {
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, GRPC_HOLDS_TOO_MUCH);
        return NULL;
    }
    call->messages_out++;
    call->bytes_out += GRPC_PREFIX_SIZE + len;
    return grpc_prefix_write(to, compressed, (uint32_t)len);
}

static void send_message(struct grpc_call *call, const uint8_t *bytes, size_t len,
                         uint8_t compressed)
{
    uint8_t *to = send_prefix(call, len, compressed);
    if (to != NULL)
        memcpy(to, bytes, len);
}

void grpc_call_commit(struct grpc_call *call)
{
    struct grpc_server *server = call->server;
    if (server->staged != call)
        return; /* the message was written into the stream itself */
    server->staged = NULL;
    const uint8_t *bytes;
    size_t len = grpc_deflate(server->compress, call->reply_encoding, server->stage,
                              server->stage_len, &bytes);
    http2_stream_work(&call->stream, DEFLATE_WORK + DEFLATE_WORK_PER_BYTE * server->stage_len);
    if (len != 0)
        send_message(call, bytes, len, 1);
    else
        send_message(call, server->stage, server->stage_len, 0);
    if (server->stage_cap > GRPC_COMPRESS_KEEP || grpc_compress_is_large(server->compress))
        grpc_trim_later(server);
}

void grpc_call_compress(struct grpc_call *call, bool compress)
{
    call->plain_replies = !compress;
}

bool grpc_call_was_compressed(const struct grpc_call *call)
{
    return call->inflated_from != 0;
}

/** Whether the reply is large because a small compressed request inflated to much. Compressing it
 * would cost ten times what inflating did: a client could buy much work for few bytes. */
static bool is_echo_of_little(const struct grpc_call *call, size_t len)
{
    return call->inflated_from != 0 &&
           len > ECHO_SPARE + (uint64_t)ECHO_RATIO * call->inflated_from;
}

/** Sends the headers, if they were not sent.
 * @param compress set to whether the message should be compressed
 * @return false: the call has ended, and sends no message of `len` bytes */
static inline bool begin_message(struct grpc_call *call, size_t len, bool *compress)
{
    assert(call->server->staged == NULL); /* each grpc_call_reserve() has its grpc_call_commit() */
    if (!call->finished && !call->entry->streaming_reply && call->messages_out != 0)
        grpc_call_finish(call, GRPC_INTERNAL, "the method sent more than one reply");
    if (!call->finished && len > UINT32_MAX)
        grpc_call_finish(call, GRPC_INTERNAL, "the reply is too large");
    if (call->finished || call->stream.local_closed)
        return false;
    bool worth_it = call->reply_accepted != 0 && !call->plain_replies &&
                    len >= call->server->compression_min_size && !is_echo_of_little(call, len);
    if (!call->headers_sent) {
        if (worth_it)
            grpc_choose_encoding(call);
        grpc_send_headers(call);
    }
    *compress = worth_it && call->reply_encoding != 0;
    return true;
}

uint8_t *grpc_call_reserve(struct grpc_call *call, size_t len)
{
    bool compress;
    if (!begin_message(call, len, &compress))
        return NULL;
    if (compress) {
        uint8_t *to = stage_message(call, len);
        if (to != NULL)
            return to;
    }
    return send_prefix(call, len, 0);
}

static void free_given(struct grpc_call *call, uint8_t *bytes, size_t cap)
{
    free(bytes);
    grpc_call_release(call, cap);
}

bool grpc_call_give(struct grpc_call *call, uint8_t *bytes, size_t len, size_t cap)
{
    assert(!call->entry->streaming_reply && GRPC_GIVE_HEAD + len <= cap);
    bool compress;
    if (!begin_message(call, len, &compress)) {
        free_given(call, bytes, cap);
        return false;
    }
    uint8_t *to = compress ? stage_message(call, len) : NULL;
    if (to != NULL) {
        memcpy(to, bytes + GRPC_GIVE_HEAD, len);
        free_given(call, bytes, cap);
        grpc_call_commit(call);
        return !call->finished;
    }
    call->messages_out++;
    call->bytes_out += GRPC_PREFIX_SIZE + len;
    grpc_prefix_write(bytes, 0, (uint32_t)len);
    http2_stream_give(&call->stream, bytes, GRPC_PREFIX_SIZE + len, cap);
    return true;
}

void grpc_call_send(struct grpc_call *call, const ProtobufCMessage *message)
{
    size_t len = protobuf_c_message_get_packed_size(message);
    uint8_t *to = grpc_call_reserve(call, len);
    if (to == NULL)
        return;
    protobuf_c_message_pack(message, to);
    grpc_call_commit(call);
}

bool grpc_call_writable(const struct grpc_call *call)
{
    return !call->finished && !call->stream.local_closed &&
           http2_stream_pending(&call->stream) == 0 && http2_stream_room(&call->stream) != 0;
}

void grpc_call_want_write(struct grpc_call *call)
{
    if (call->finished || call->stream.local_closed)
        return;
    call->want_write = true;
    http2_stream_want_write(&call->stream);
}

void grpc_call_work(struct grpc_call *call, size_t ns)
{
    http2_stream_work(&call->stream, ns);
}
