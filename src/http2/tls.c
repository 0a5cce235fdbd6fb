/* SPDX-License-Identifier: MIT */
/* TLS before HTTP/2: libh2o's sockets encrypt and decrypt, ALPN must have chosen h2. */
#include "http2/conn.h"

static void on_handshake(h2o_socket_t *sock, const char *err)
{
    struct http2_conn *conn = sock->data;
    if (err == NULL) {
        h2o_iovec_t chosen = h2o_socket_ssl_get_selected_protocol(sock);
        if (chosen.len == 2 && memcmp(chosen.base, "h2", 2) == 0) {
            http2_conn_start(conn);
            return;
        }
    }
    http2_conn_destroy(conn);
}

void http2_accept_tls(struct http2_context *context, h2o_socket_t *sock, SSL_CTX *ssl)
{
    struct http2_conn *conn = http2_conn_create(context, sock);
    sock->data = conn;
    h2o_socket_ssl_handshake(sock, ssl, NULL, on_handshake);
}
