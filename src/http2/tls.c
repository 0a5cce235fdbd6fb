/* SPDX-License-Identifier: MIT */
/* TLS before HTTP/2: libh2o's sockets encrypt and decrypt; what RFC 9113 9.2 asks for is set here.
 */
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdlib.h>

#include "http2/conn.h"

/* RFC 7301: nothing but h2, and no handshake without it. */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                           const unsigned char *offered, unsigned len, void *data)
{
    (void)ssl;
    (void)data;
    for (unsigned at = 0; at < len; at += 1u + offered[at]) {
        if (offered[at] == 2 && at + 2 < len && memcmp(offered + at + 1, "h2", 2) == 0) {
            *out = offered + at + 1;
            *out_len = 2;
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static char *subject_of(const SSL *ssl)
{
    X509 *certificate = SSL_get0_peer_certificate(ssl);
    BIO *out = certificate == NULL ? NULL : BIO_new(BIO_s_mem());
    char *text, *copy = NULL;
    if (out == NULL)
        return NULL;
    /* UTF-8 as it is, which RFC 4514 allows */
    unsigned long flags = XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB;
    if (X509_NAME_print_ex(out, X509_get_subject_name(certificate), 0, flags) >= 0) {
        long len = BIO_get_mem_data(out, &text);
        copy = strndup(text, (size_t)len);
    }
    BIO_free(out);
    return copy;
}

/* libh2o keeps the SSL to itself; its BIO leads to the socket, and that to the connection. */
static void on_info(const SSL *ssl, int where, int ret)
{
    (void)ret;
    if ((where & SSL_CB_HANDSHAKE_DONE) == 0)
        return;
    const h2o_socket_t *sock = BIO_get_data(SSL_get_rbio(ssl));
    struct http2_conn *conn = sock == NULL ? NULL : sock->data;
    if (conn != NULL && conn->subject == NULL)
        conn->subject = subject_of(ssl);
}

bool http2_tls_prepare(SSL_CTX *ssl)
{
    /* 9.2.1: no compression, no renegotiation; 9.2.2: AEAD with ephemeral keys for TLS 1.2 */
    SSL_CTX_set_options(ssl, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS); /* idle connections keep none */
    SSL_CTX_set_alpn_select_cb(ssl, choose_protocol, NULL);
    SSL_CTX_set_info_callback(ssl, on_info);
    return SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION) == 1 &&
           SSL_CTX_set_cipher_list(ssl, "ECDHE+AESGCM:ECDHE+CHACHA20") == 1;
}

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
    conn->context->counts.tls_failures++;
    ERR_clear_error();
    http2_conn_destroy(conn);
}

void http2_accept_tls(struct http2_context *context, h2o_socket_t *sock, SSL_CTX *ssl)
{
    struct http2_conn *conn = http2_conn_create(context, sock);
    sock->data = conn;
    h2o_socket_ssl_handshake(sock, ssl, NULL, on_handshake);
}

const char *http2_conn_subject(const struct http2_conn *conn)
{
    return conn->subject;
}
