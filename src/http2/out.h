/* SPDX-License-Identifier: MIT */
/*
 * A connection's output buffer, and the frames that need no flow control.
 *
 * Output is appended here and written at the end of the turn (write.h). Where there is no memory
 * for it, the connection is marked (out_failed) and ends with the running callback; until then
 * output goes into the context's sink, so that no caller has to check.
 */
#ifndef ROSTERD_HTTP2_OUT_H
#define ROSTERD_HTTP2_OUT_H

#include <arpa/inet.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "http2/conn_state.h"

/* Payloads of the PINGs that we send: the ACK tells by its payload which PING it answers. */
#define HTTP2_PING_DRAIN     "drain\0\0"
#define HTTP2_PING_KEEPALIVE "keepaliv"

/** The slow path of http2_out_put(): makes room first. */
uint8_t *http2_out_put_slowly(struct http2_conn *conn, size_t len);
/** Appends a whole frame. @param len at most HTTP2_FRAME_MAX */
void http2_out_frame(struct http2_conn *conn, uint8_t type, uint8_t flags, uint32_t id,
                     const void *payload, size_t len);
/** @param id a stream, or 0: the connection */
void http2_out_window_update(struct http2_conn *conn, uint32_t id, uint32_t increment);
void http2_out_ping(struct http2_conn *conn, uint8_t flags, const uint8_t data[8]);
/** @param why debug data, cut after 256 bytes */
void http2_out_goaway(struct http2_conn *conn, uint32_t last_id, enum http2_error error,
                      const char *why);
void http2_out_rst_stream(struct http2_conn *conn, uint32_t id, enum http2_error error);
/** Frees the buffer and discards its contents. */
void http2_out_free(struct http2_conn *conn);

/** Appends len bytes and returns where the caller must write them.
 * @param len at most HTTP2_FRAME_MAX and the headers of two frames */
static inline uint8_t *http2_out_put(struct http2_conn *conn, size_t len)
{
    struct http2_output *out = &conn->out;
    if (out->cap - out->len < len)
        return http2_out_put_slowly(conn, len);
    uint8_t *at = out->bytes + out->len;
    out->len += len;
    return at;
}

/** Writes a frame's header (RFC 9113 4.1). libh2o's function of this kind is not inline, and each
 * reply has three frames. @return where the payload begins */
static inline uint8_t *http2_out_head(uint8_t *dst, size_t len, uint8_t type, uint8_t flags,
                                      uint32_t id)
{
    const uint32_t len_and_type = htonl((uint32_t)len << 8 | type);
    const uint32_t stream = htonl(id);
    memcpy(dst, &len_and_type, sizeof(len_and_type));
    dst[4] = flags;
    memcpy(dst + 5, &stream, sizeof(stream));
    return dst + H2O_HTTP2_FRAME_HEADER_SIZE;
}

/** The DATA frame that may grow is complete: something follows it, or it is written. */
static inline void http2_out_close_data(struct http2_conn *conn)
{
    conn->data_frame = 0;
}

#endif
