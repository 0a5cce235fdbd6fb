/* SPDX-License-Identifier: MIT */
/*
 * Output to the socket: as much as it takes at once; the loop tells when it takes more. A plain
 * connection's output is written where it lies, that of TLS passes through tls.c.
 */
#include <errno.h>
#include <sys/socket.h>

#include "http2/conn.h"

ssize_t http2_write_some(struct http2_conn *conn, const uint8_t *bytes, size_t len)
{
    ssize_t n;
    do
        n = send(h2o_socket_get_fd(conn->sock), bytes, len, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n >= 0)
        return n;
    return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -1;
}

static bool write_plain(struct http2_conn *conn)
{
    struct http2_output *out = &conn->out;
    while (http2_output_waiting(out) != 0) {
        ssize_t n = http2_write_some(conn, out->bytes + out->off, http2_output_waiting(out));
        if (n <= 0)
            return n == 0;
        out->off += (size_t)n;
    }
    return true;
}

static void on_writable(h2o_socket_t *sock, const char *err)
{
    struct http2_conn *conn = sock->data;
    conn->writing = 0;
    http2_turn_enter(conn);
    if (err != NULL)
        http2_conn_lost(conn);
    http2_turn_settle(conn);
}

void http2_write(struct http2_conn *conn)
{
    struct http2_output *out = &conn->out;
    size_t before = http2_output_waiting(out);
    if (conn->writing || conn->state == HTTP2_CONN_LOST)
        return;
    http2_out_close_data(conn);
    if (!(conn->tls != NULL ? http2_tls_write(conn) : write_plain(conn))) {
        http2_conn_lost(conn);
        return;
    }
    size_t wrote = before - http2_output_waiting(out);
    conn->context->counts.bytes_out += wrote;
    conn->written += wrote;
    if (http2_output_waiting(out) == 0)
        http2_out_free(conn);
    if (http2_output_waiting(out) != 0 || (conn->tls != NULL && http2_tls_waiting(conn) != 0)) {
        conn->writing = 1;
        h2o_socket_notify_write(conn->sock, on_writable);
    }
}
