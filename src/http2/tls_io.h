/* SPDX-License-Identifier: MIT */
/*
 * Between the files of http2's TLS: tls.c reads and writes, tls_hello.c knows what a client offers.
 */
#ifndef ROSTERD_HTTP2_TLS_IO_H
#define ROSTERD_HTTP2_TLS_IO_H

#include <openssl/ssl.h>

#include "http2/conn.h"

struct http2_tls {
    SSL *ssl;
    h2o_linklist_t warm; /* in io->warm: OpenSSL keeps buffers for it */
    uint64_t used_ms;
    char *offered; /* by the client, for the log; NULL: nothing came, or the handshake is over */
    uint8_t *left; /* encrypted, and not taken by the socket yet */
    size_t left_off, left_len;
    bool established;
    bool ended;      /* close_notify came */
    bool body, half; /* as in struct http2_tls_io: a part of a record is in OpenSSL's buffer */
    bool answered;   /* it was signed */
};

/** Remembers what a client offers, and demands ALPN of it (RFC 9113 3.2). */
int http2_tls_on_hello(SSL *ssl, int *alert, void *data);
/** RFC 7301: nothing but h2. */
int http2_tls_choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                              const unsigned char *offered, unsigned len, void *data);

#endif
