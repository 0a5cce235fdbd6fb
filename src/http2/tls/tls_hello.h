/* SPDX-License-Identifier: MIT */
/* OpenSSL's callbacks for a ClientHello: they check its ALPN, and keep what it offers for the log.
 */
#ifndef ROSTERD_HTTP2_TLS_TLS_HELLO_H
#define ROSTERD_HTTP2_TLS_TLS_HELLO_H

#include <openssl/ssl.h>

/** For SSL_CTX_set_client_hello_cb(). Notes what the client offers, and refuses a client without
 * ALPN (RFC 9113 3.2). */
int http2_tls_on_hello(SSL *ssl, int *alert, void *data);
/** For SSL_CTX_set_alpn_select_cb(). Chooses h2, and refuses a client that does not offer it. */
int http2_tls_choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                              const unsigned char *offered, unsigned len, void *data);

#endif
