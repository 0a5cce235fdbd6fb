/* SPDX-License-Identifier: MIT */
#include "peer.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

struct peer *peer_connect(struct http2_context *context, bool greet)
{
    int fds[2];
    struct peer *peer = calloc(1, sizeof(*peer));
    assert_non_null(peer);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    peer->context = context;
    peer->loop = http2_context_loop(context);
    peer->fd = fds[0];
    nghttp2_hd_deflate_new(&peer->deflater, 4096);
    nghttp2_hd_inflate_new(&peer->inflater);
    http2_accept(context, h2o_evloop_socket_create(peer->loop, fds[1], 0));
    if (greet) {
        peer_send(peer, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
        peer_frame(peer, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
    }
    return peer;
}

void peer_close(struct peer *peer)
{
    close(peer->fd);
    peer_turn(peer);
    nghttp2_hd_deflate_del(peer->deflater);
    nghttp2_hd_inflate_del(peer->inflater);
    free(peer->in);
    free(peer);
}

struct timers *peer_timers;

/* One turn of the server's loop, with the timers that are due. */
static void turn_loop(struct peer *peer, int32_t wait)
{
    h2o_evloop_run(peer->loop, wait);
    if (peer_timers != NULL) {
        timers_stale(peer_timers);
        timers_run(peer_timers, timers_now(peer_timers));
    }
    (void)http2_context_run(peer->context);
}

size_t peer_send(struct peer *peer, const void *bytes, size_t len)
{
    const uint8_t *at = bytes;
    for (unsigned stuck = 0; len != 0;) {
        ssize_t n = send(peer->fd, at, len, MSG_NOSIGNAL);
        if (n > 0) {
            at += n;
            len -= (size_t)n;
            continue;
        }
        if (errno != EAGAIN || stuck++ == 200)
            break; /* the server has closed or does not read any more */
        turn_loop(peer, 1);
    }
    return (size_t)(at - (const uint8_t *)bytes);
}

void peer_frame(struct peer *peer, uint8_t type, uint8_t flags, uint32_t id, const void *payload,
                size_t len)
{
    uint8_t *frame = malloc(9 + len);
    assert_non_null(frame);
    uint8_t head[9] = {
        (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len,       type,       flags,
        (uint8_t)(id >> 24),  (uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id};
    memcpy(frame, head, 9);
    if (len != 0)
        memcpy(frame + 9, payload, len);
    peer_send(peer, frame, 9 + len);
    free(frame);
}

static nghttp2_nv field(const char *name, const char *value)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name),
                        strlen(value), 0};
}

static uint8_t *deflate(struct peer *peer, size_t *len, const char *path, va_list extra)
{
    nghttp2_nv fields[64] = {field(":method", "POST"), field(":scheme", "http"),
                             field(":path", path), field(":authority", "test")};
    size_t num = 4;
    const char *name;
    while ((name = va_arg(extra, const char *)) != NULL)
        fields[num++] = field(name, va_arg(extra, const char *));
    size_t bound = nghttp2_hd_deflate_bound(peer->deflater, fields, num);
    uint8_t *block = malloc(bound);
    assert_non_null(block);
    ssize_t n = nghttp2_hd_deflate_hd(peer->deflater, block, bound, fields, num);
    assert_true(n > 0);
    *len = (size_t)n;
    return block;
}

uint8_t *peer_block(struct peer *peer, size_t *len, const char *path, ...)
{
    va_list extra;
    va_start(extra, path);
    uint8_t *block = deflate(peer, len, path, extra);
    va_end(extra);
    return block;
}

void peer_request(struct peer *peer, uint32_t id, bool end_stream, const char *path, ...)
{
    va_list extra;
    size_t len;
    va_start(extra, path);
    uint8_t *block = deflate(peer, &len, path, extra);
    va_end(extra);
    peer_frame(peer, NGHTTP2_HEADERS,
               (uint8_t)(NGHTTP2_FLAG_END_HEADERS | (end_stream ? NGHTTP2_FLAG_END_STREAM : 0)), id,
               block, len);
    free(block);
}

void peer_settings(struct peer *peer, uint16_t id, uint32_t value)
{
    uint8_t payload[6] = {(uint8_t)(id >> 8),     (uint8_t)id,           (uint8_t)(value >> 24),
                          (uint8_t)(value >> 16), (uint8_t)(value >> 8), (uint8_t)value};
    peer_frame(peer, NGHTTP2_SETTINGS, 0, 0, payload, 6);
}

void peer_window_update(struct peer *peer, uint32_t id, uint32_t increment)
{
    uint8_t payload[4] = {(uint8_t)(increment >> 24), (uint8_t)(increment >> 16),
                          (uint8_t)(increment >> 8), (uint8_t)increment};
    peer_frame(peer, NGHTTP2_WINDOW_UPDATE, 0, id, payload, 4);
}

void peer_turn(struct peer *peer)
{
    for (int i = 0; i != 5; i++)
        turn_loop(peer, 0);
}

static void receive(struct peer *peer)
{
    if (peer->in_cap - peer->in_len < 65536) {
        peer->in_cap = peer->in_cap * 2 + 131072;
        peer->in = realloc(peer->in, peer->in_cap);
        assert_non_null(peer->in);
    }
    ssize_t n = recv(peer->fd, peer->in + peer->in_len, peer->in_cap - peer->in_len, 0);
    if (n > 0)
        peer->in_len += (size_t)n;
    else if (n == 0 || errno != EAGAIN)
        peer->eof = true;
}

static void inflate(struct peer *peer, const struct peer_frame *frame)
{
    char *text = peer->fields;
    const uint8_t *in = frame->payload;
    size_t left = frame->len, used = 0;
    text[0] = '\0';
    while (true) {
        nghttp2_nv nv;
        int flags = 0;
        ssize_t n = nghttp2_hd_inflate_hd2(peer->inflater, &nv, &flags, in, left, 1);
        assert_true(n >= 0);
        in += n;
        left -= (size_t)n;
        if (flags & NGHTTP2_HD_INFLATE_EMIT)
            used += (size_t)snprintf(text + used, sizeof(peer->fields) - used, "%s: %s\n", nv.name,
                                     nv.value);
        if (flags & NGHTTP2_HD_INFLATE_FINAL)
            break;
    }
    nghttp2_hd_inflate_end_headers(peer->inflater);
}

static bool take_frame(struct peer *peer, struct peer_frame *frame)
{
    const uint8_t *at = peer->in + peer->used;
    size_t left = peer->in_len - peer->used;
    if (left < 9)
        return false;
    uint32_t len = (uint32_t)at[0] << 16 | (uint32_t)at[1] << 8 | at[2];
    if (left < 9 + len)
        return false;
    *frame = (struct peer_frame){.len = len,
                                 .type = at[3],
                                 .flags = at[4],
                                 .stream_id = peer_u32(at + 5),
                                 .payload = at + 9};
    peer->used += 9 + len;
    if (frame->type == NGHTTP2_HEADERS)
        inflate(peer, frame);
    return true;
}

static bool next_within(struct peer *peer, struct peer_frame *frame, unsigned turns, int wait)
{
    for (unsigned i = 0; i != turns; i++) {
        if (peer->in != NULL && take_frame(peer, frame))
            return true;
        if (peer->eof)
            return false;
        if (peer->used != 0)
            memmove(peer->in, peer->in + peer->used, peer->in_len - peer->used);
        peer->in_len -= peer->used;
        peer->used = 0;
        turn_loop(peer, wait);
        receive(peer);
    }
    return false;
}

bool peer_next(struct peer *peer, struct peer_frame *frame)
{
    return next_within(peer, frame, 200, 5);
}

bool peer_next_now(struct peer *peer, struct peer_frame *frame)
{
    return next_within(peer, frame, 2, 0);
}

void peer_expect(struct peer *peer, uint8_t type, struct peer_frame *frame)
{
    while (peer_next(peer, frame)) {
        if (frame->type == type)
            return;
        if (frame->type != NGHTTP2_SETTINGS && frame->type != NGHTTP2_PING &&
            frame->type != NGHTTP2_WINDOW_UPDATE)
            fail_msg("frame of type %u where %u was expected", frame->type, type);
    }
    fail_msg("no frame of type %u", type);
}

bool peer_ends_stream(const struct peer_frame *frame)
{
    return frame->type <= NGHTTP2_HEADERS && (frame->flags & NGHTTP2_FLAG_END_STREAM) != 0;
}

void peer_expect_quiet(struct peer *peer)
{
    struct peer_frame frame;
    while (next_within(peer, &frame, 4, 0)) {
        if (frame.type != NGHTTP2_SETTINGS && frame.type != NGHTTP2_WINDOW_UPDATE)
            fail_msg("an unexpected frame of type %u", frame.type);
    }
    assert_false(peer->eof);
}

void peer_expect_eof(struct peer *peer)
{
    struct peer_frame frame;
    while (peer_next(peer, &frame))
        ;
    assert_true(peer->eof);
}

void peer_expect_end(struct peer *peer, uint32_t id)
{
    struct peer_frame frame;
    peer_expect(peer, NGHTTP2_HEADERS, &frame);
    assert_int_equal(frame.stream_id, id);
    assert_true(peer_ends_stream(&frame));
}

void peer_expect_rst(struct peer *peer, uint32_t id, uint32_t error)
{
    struct peer_frame frame;
    peer_expect(peer, NGHTTP2_RST_STREAM, &frame);
    assert_int_equal(frame.stream_id, id);
    assert_int_equal(peer_u32(frame.payload), error);
}

void peer_expect_goaway(struct peer *peer, uint32_t error)
{
    struct peer_frame frame;
    peer_expect(peer, NGHTTP2_GOAWAY, &frame);
    assert_int_equal(peer_u32(frame.payload + 4), error);
    peer_expect_eof(peer);
}

void peer_finish_drain(struct peer *peer, uint32_t last_id)
{
    struct peer_frame frame;
    peer_frame(peer, NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, "drain\0\0\0", 8);
    peer_expect(peer, NGHTTP2_GOAWAY, &frame);
    assert_int_equal(peer_u32(frame.payload), last_id);
}

void peer_send_messages(struct peer *peer, uint32_t stream_id, unsigned count, size_t len)
{
    static const char bytes[8] = "message";
    assert_true(len <= sizeof(bytes));
    for (unsigned i = 0; i < count; i++) {
        peer_frame(peer, NGHTTP2_DATA, 0, stream_id, bytes, len);
        if (i % 1000 == 0)
            peer_turn(peer);
    }
}

uint32_t peer_u32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}
