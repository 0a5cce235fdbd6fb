/* SPDX-License-Identifier: MIT */
#include "http2/socket.h"

#include <errno.h>
#include <sys/param.h>
#include <sys/socket.h>
#include <unistd.h>

/* The result of a read or write that returned -1. */
static ssize_t again_or_broken(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -1;
}

ssize_t http2_socket_read(struct http2_conn *conn, uint8_t *dst, size_t room)
{
    ssize_t n;
    do
        n = read(h2o_socket_get_fd(conn->sock), dst, room);
    while (n < 0 && errno == EINTR);
    if (n > 0)
        return n;
    return n < 0 ? again_or_broken() : -1;
}

ssize_t http2_socket_write(struct http2_conn *conn, const uint8_t *bytes, size_t len)
{
    ssize_t n;
    do
        n = send(h2o_socket_get_fd(conn->sock), bytes, len, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n >= 0 ? n : again_or_broken();
}

static ssize_t plain_read(struct http2_conn *conn, uint8_t *dst, size_t room)
{
    return http2_socket_read(conn, dst, MIN(room, (size_t)HTTP2_READ_SIZE));
}

static bool plain_write(struct http2_conn *conn)
{
    struct http2_output *out = &conn->out;
    while (http2_output_waiting(out) != 0) {
        ssize_t n = http2_socket_write(conn, out->bytes + out->off, http2_output_waiting(out));
        if (n <= 0)
            return n == 0;
        out->off += (size_t)n;
    }
    return true;
}

static bool plain_is_new(const struct http2_conn *conn)
{
    (void)conn;
    return false;
}

static bool plain_ended(const struct http2_conn *conn)
{
    (void)conn;
    return false;
}

static void plain_shutdown(struct http2_conn *conn)
{
    (void)conn;
}

static void plain_dispose(struct http2_conn *conn)
{
    (void)conn;
}

const struct http2_transport http2_socket_transport = {
    .read = plain_read,
    .write = plain_write,
    .is_new = plain_is_new,
    .ended = plain_ended,
    .shutdown = plain_shutdown,
    .dispose = plain_dispose,
};
