/* SPDX-License-Identifier: MIT */
/*
 * A client for tests. It sends exactly the frames that the test asks for and reads the server's
 * frames, over a socket pair and in the thread of the server. Header blocks are encoded and decoded
 * by libnghttp2, so that our HPACK is not tested against itself.
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
    uint8_t *in; /* received bytes that were not looked at yet */
    size_t in_len, in_cap, used;
    bool eof;
    nghttp2_hd_deflater *deflater;
    nghttp2_hd_inflater *inflater;
    char fields[65536]; /* of the latest HEADERS frame: "name: value\n..." */
};

/** The server's timers, which peer_turn() and others run with the loop; NULL: timers do not run. */
extern struct timers *peer_timers;

/** Connects to a context. @param greet send the preface and empty SETTINGS */
struct peer *peer_connect(struct http2_context *context, bool greet);
/** Closes the connection and frees the peer. */
void peer_close(struct peer *peer);
/** Sends bytes, and turns the loop while the server's socket is full.
 * @return the bytes sent: fewer if the server has closed or stopped reading */
size_t peer_send(struct peer *peer, const void *bytes, size_t len);
void peer_frame(struct peer *peer, uint8_t type, uint8_t flags, uint32_t stream_id,
                const void *payload, size_t len);
/** Sends the HEADERS of a POST to `path`. Further arguments are fields: name, value, ..., NULL. */
void peer_request(struct peer *peer, uint32_t stream_id, bool end_stream, const char *path, ...);
/** Encodes the header block of such a request. @return the block, to be freed by the caller */
uint8_t *peer_block(struct peer *peer, size_t *len, const char *path, ...);
void peer_settings(struct peer *peer, uint16_t id, uint32_t value);
void peer_window_update(struct peer *peer, uint32_t stream_id, uint32_t increment);
/** Turns the loop five times, without reading what the server sends. */
void peer_turn(struct peer *peer);
/** Receives the next frame, and turns the loop for up to a second for it. @return false: none came
 */
bool peer_next(struct peer *peer, struct peer_frame *frame);
/** Receives the next frame without waiting. @return false: none is there */
bool peer_next_now(struct peer *peer, struct peer_frame *frame);
/** Receives a frame of this type. SETTINGS, PING and WINDOW_UPDATE before it are skipped; any other
 * frame before it fails the test. */
void peer_expect(struct peer *peer, uint8_t type, struct peer_frame *frame);
/** Fails if a frame other than SETTINGS and WINDOW_UPDATE has come or comes within a few turns.
 */
void peer_expect_quiet(struct peer *peer);
/** Skips all frames, and fails if the server has not closed the connection after them. */
void peer_expect_eof(struct peer *peer);
/** Expects HEADERS with END_STREAM: trailers, or an answer that consists of them. */
void peer_expect_end(struct peer *peer, uint32_t stream_id);
/** Expects RST_STREAM with this error on this stream. */
void peer_expect_rst(struct peer *peer, uint32_t stream_id, uint32_t error);
/** Expects GOAWAY with this error, and the end of the connection. */
void peer_expect_goaway(struct peer *peer, uint32_t error);
/** Acknowledges the PING of a graceful end, and expects the final GOAWAY with this stream id. */
void peer_finish_drain(struct peer *peer, uint32_t last_id);
/** Sends `count` DATA frames of `len` bytes on a stream, and turns the loop now and then. */
void peer_send_messages(struct peer *peer, uint32_t stream_id, unsigned count, size_t len);
/** Whether the frame has END_STREAM. */
bool peer_ends_stream(const struct peer_frame *frame);
/** Reads 32 bits in network byte order. */
uint32_t peer_u32(const uint8_t *bytes);

#endif
