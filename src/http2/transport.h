/* SPDX-License-Identifier: MIT */
/* How a connection's bytes reach its socket: as they are (socket.c), or through TLS (tls/). */
#ifndef ROSTERD_HTTP2_TRANSPORT_H
#define ROSTERD_HTTP2_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct http2_conn;

struct http2_transport {
    /** Reads the socket once. @param room at least HTTP2_READ_SIZE @return bytes of HTTP/2 put at
     * dst; 0: none now; -1: nothing more will come */
    ssize_t (*read)(struct http2_conn *conn, uint8_t *dst, size_t room);
    /** Writes conn->out as far as the socket takes it, and advances conn->out.off and
     * conn->sealed_waiting. @return false: the socket is broken */
    bool (*write)(struct http2_conn *conn);
    /** @return true: the next read may cost a signature, which takes as long as a turn */
    bool (*is_new)(const struct http2_conn *conn);
    /** @return true: the peer has announced that nothing follows (close_notify) */
    bool (*ended)(const struct http2_conn *conn);
    /** Announces to the peer that nothing follows. The socket is shut down afterwards. */
    void (*shutdown)(struct http2_conn *conn);
    /** Frees conn->tls. */
    void (*dispose)(struct http2_conn *conn);
};

#endif
