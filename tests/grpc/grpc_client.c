/* SPDX-License-Identifier: MIT */
#include "grpc_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

void client_headers(struct peer *peer, uint32_t id, bool end, ...)
{
    nghttp2_nv fields[32];
    size_t num = 0;
    uint8_t block[4096];
    const char *name;
    va_list list;
    va_start(list, end);
    while ((name = va_arg(list, const char *)) != NULL) {
        const char *value = va_arg(list, const char *);
        fields[num++] = (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value,
                                     strlen(name), strlen(value), 0};
    }
    va_end(list);
    ssize_t len = nghttp2_hd_deflate_hd(peer->deflater, block, sizeof(block), fields, num);
    assert_true(len > 0);
    peer_frame(peer, NGHTTP2_HEADERS,
               (uint8_t)(NGHTTP2_FLAG_END_HEADERS | (end ? NGHTTP2_FLAG_END_STREAM : 0)), id, block,
               (size_t)len);
}

void client_data(struct peer *peer, uint32_t id, const void *bytes, size_t len, bool end)
{
    peer_frame(peer, NGHTTP2_DATA, end ? NGHTTP2_FLAG_END_STREAM : 0, id, bytes, len);
}

uint8_t *client_frame(const ProtobufCMessage *message, size_t *len)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    uint8_t *frame = malloc(5 + size);
    assert_non_null(frame);
    frame[0] = 0;
    for (unsigned i = 0; i < 4; i++)
        frame[1 + i] = (uint8_t)(size >> (24 - 8 * i));
    protobuf_c_message_pack(message, frame + 5);
    *len = 5 + size;
    return frame;
}

void client_send(struct peer *peer, uint32_t id, const ProtobufCMessage *message, bool end)
{
    size_t len;
    uint8_t *frame = client_frame(message, &len);
    client_data(peer, id, frame, len, end);
    free(frame);
}

static void reply_take_headers(const struct peer *peer, const struct peer_frame *frame,
                               struct reply *reply)
{
    bool first = reply->headers[0] == '\0' && reply->trailers[0] == '\0';
    bool last = (frame->flags & NGHTTP2_FLAG_END_STREAM) != 0;
    char *to = first && !last ? reply->headers : reply->trailers;
    assert_true(strlen(peer->fields) < sizeof(reply->headers));
    assert_int_equal(to[0], '\0');
    memcpy(to, peer->fields, strlen(peer->fields) + 1);
    reply->ended |= last;
}

static void reply_take(struct peer *peer, const struct peer_frame *frame, struct reply *reply)
{
    switch (frame->type) {
    case NGHTTP2_HEADERS:
        reply_take_headers(peer, frame, reply);
        break;
    case NGHTTP2_DATA:
        reply->data_frames++;
        if (frame->len != 0) {
            reply->body = realloc(reply->body, reply->body_len + frame->len);
            assert_non_null(reply->body);
            memcpy(reply->body + reply->body_len, frame->payload, frame->len);
            reply->body_len += frame->len;
        }
        reply->ended |= (frame->flags & NGHTTP2_FLAG_END_STREAM) != 0;
        break;
    case NGHTTP2_RST_STREAM:
        reply->reset = true;
        reply->reset_code = peer_u32(frame->payload);
        break;
    default:
        fail_msg("frame of type %u", frame->type);
    }
}

/** Reads a frame that has come, or that comes within a few turns of the loop. @return false: none
 */
static bool next_frame_soon(struct peer *peer, struct peer_frame *frame)
{
    bool had = peer->in != NULL;
    for (unsigned i = 0; i < 4; i++) {
        if (had && peer->in_len - peer->used >= 9)
            return peer_next(peer, frame);
        peer_turn(peer);
        uint8_t byte;
        if (recv(peer->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1)
            return peer_next(peer, frame);
    }
    return false;
}

void client_read(struct peer *peer, uint32_t id, struct reply *reply)
{
    struct peer_frame frame;
    memset(reply, 0, sizeof(*reply));
    while (next_frame_soon(peer, &frame)) {
        if (frame.stream_id == id && frame.type != NGHTTP2_WINDOW_UPDATE)
            reply_take(peer, &frame, reply);
    }
}

void reply_free(struct reply *reply)
{
    free(reply->body);
    reply->body = NULL;
}

const char *reply_field(const char *fields, const char *name)
{
    static char value[4096];
    size_t len = strlen(name);
    for (const char *line = fields; *line != '\0'; line = strchr(line, '\n') + 1) {
        if (strncmp(line, name, len) == 0 && strncmp(line + len, ": ", 2) == 0) {
            size_t value_len = (size_t)(strchr(line, '\n') - line) - len - 2;
            memcpy(value, line + len + 2, value_len);
            value[value_len] = '\0';
            return value;
        }
    }
    return NULL;
}

int reply_status(const struct reply *reply)
{
    const char *value = reply_field(reply->trailers, "grpc-status");
    return value == NULL ? -1 : atoi(value);
}

/** @return the offset of the nth message's prefix; of the end of the body if there are fewer */
static size_t reply_seek(const struct reply *reply, unsigned n)
{
    size_t at = 0;
    while (n-- != 0 && at < reply->body_len) {
        assert_true(at + 5 <= reply->body_len);
        assert_int_equal(reply->body[at], 0);
        at += 5 + peer_u32(reply->body + at + 1);
    }
    assert_true(at <= reply->body_len);
    return at;
}

unsigned reply_count(const struct reply *reply)
{
    unsigned n = 0;
    while (reply_seek(reply, n) < reply->body_len)
        n++;
    return n;
}

ProtobufCMessage *reply_message(const struct reply *reply, unsigned n,
                                const ProtobufCMessageDescriptor *type)
{
    size_t at = reply_seek(reply, n);
    assert_true(at < reply->body_len);
    ProtobufCMessage *message =
        protobuf_c_message_unpack(type, NULL, peer_u32(reply->body + at + 1), reply->body + at + 5);
    assert_non_null(message);
    return message;
}
