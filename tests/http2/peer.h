/* SPDX-License-Identifier: MIT */
/*
 * The other end of a connection, for tests: writes frames byte by byte as the
 * test says and reads the server's, over a socket pair, in one thread. Header
 * blocks go through libnghttp2's HPACK, which is not the one under test.
 */
#ifndef ROSTERD_TESTS_HTTP2_PEER_H
#define ROSTERD_TESTS_HTTP2_PEER_H

#include <nghttp2/nghttp2.h>

#include "http2/http2.h"

struct peer_frame {
    uint32_t len, stream_id;
    uint8_t type, flags;
    const uint8_t *payload; /* valid until the next peer_next() */
};

struct peer {
    struct http2_context *context;
    h2o_loop_t *loop;
    int fd;
    uint8_t *in; /* what came and was not looked at */
    size_t in_len, in_cap, used;
    bool eof;
    nghttp2_hd_deflater *deflater;
    nghttp2_hd_inflater *inflater;
    char fields[65536]; /* of the newest HEADERS: "name: value\n..." */
};

/** The server's timers, which run with its loop then; NULL: they do not. */
extern struct timers *peer_timers;

/** Connects to a context; the preface and empty SETTINGS are sent if `greet`. */
struct peer *peer_connect(struct http2_context *context, bool greet);
void peer_close(struct peer *peer);
/** @return how many went: fewer where the server closed or stopped reading */
size_t peer_send(struct peer *peer, const void *bytes, size_t len);
void peer_frame(struct peer *peer, uint8_t type, uint8_t flags, uint32_t stream_id,
                const void *payload, size_t len);
/** A POST to path; extra fields as name, value, ..., NULL. */
void peer_request(struct peer *peer, uint32_t stream_id, bool end_stream, const char *path, ...);
/** The block of the same, to send in another way; free() it. */
uint8_t *peer_block(struct peer *peer, size_t *len, const char *path, ...);
void peer_settings(struct peer *peer, uint16_t id, uint32_t value);
void peer_window_update(struct peer *peer, uint32_t stream_id, uint32_t increment);
/** Turns the loop some times, without reading what the server sent. */
void peer_turn(struct peer *peer);
/** The next frame, turning the loop for up to a second. @return false at the end */
bool peer_next(struct peer *peer, struct peer_frame *frame);
/** The next frame that is there, without waiting. */
bool peer_next_now(struct peer *peer, struct peer_frame *frame);
/** Skips to the next frame of this type; SETTINGS, PING and WINDOW_UPDATE are skipped, anything
 * else in between fails the test. */
void peer_expect(struct peer *peer, uint8_t type, struct peer_frame *frame);
/** No frame but SETTINGS and WINDOW_UPDATE is there or comes in a few turns. */
void peer_expect_quiet(struct peer *peer);
void peer_expect_eof(struct peer *peer);
bool peer_ends_stream(const struct peer_frame *frame);
uint32_t peer_u32(const uint8_t *bytes);

#endif
