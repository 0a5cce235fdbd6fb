/* SPDX-License-Identifier: MIT */
/*
 * Between the files of http2's TLS: tls.c reads and writes, tls_io.c is what OpenSSL reads and
 * writes by and keeps, tls_handshake.c begins, tls_hello.c knows what a client offers.
 */
#ifndef ROSTERD_HTTP2_TLS_IO_H
#define ROSTERD_HTTP2_TLS_IO_H

#include <openssl/ssl.h>

#include "http2/conn.h"

enum {
    /* One read: decrypted it fits into HTTP2_READ_SIZE, with the rest of a record that OpenSSL has.
     */
    HTTP2_TLS_READ = 64 * 1024,
    HTTP2_TLS_SEALED = 96 * 1024, /* encrypted bytes before they are written */
};

/* What all TLS connections of a context share. */
struct http2_tls_io {
    BIO_METHOD *method;
    const uint8_t *in; /* of the running read */
    size_t in_len;
    bool body; /* OpenSSL has a record's header, and asks for the body */
    bool half; /* it has a part of what it asks for */
    size_t sealed_len;
    h2o_linklist_t warm; /* connections, used longest ago first */
    size_t num_warm;
    struct http2_context *context;
    struct timer cooler;
    uint64_t noted_ms; /* the second in which notes are counted began */
    unsigned notes;
    uint8_t cipher[HTTP2_TLS_READ], sealed[HTTP2_TLS_SEALED];
};

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

/* tls_io.c */
/** @return NULL: no memory */
struct http2_tls_io *http2_tls_io_create(struct http2_context *context);
/** The connection is in use: OpenSSL may keep its buffers. */
void http2_tls_warm_up(struct http2_conn *conn);
/** They are given back. */
void http2_tls_cool(struct http2_tls_io *io, struct http2_tls *tls);

/* tls_handshake.c */
/** Goes on with it; where it fails, the connection closes after the alert.
 * @return whether it is complete */
bool http2_tls_shake_hands(struct http2_conn *conn);

/* tls_hello.c */
/** Remembers what a client offers, and demands ALPN of it (RFC 9113 3.2). */
int http2_tls_on_hello(SSL *ssl, int *alert, void *data);
/** RFC 7301: nothing but h2. */
int http2_tls_choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                              const unsigned char *offered, unsigned len, void *data);

#endif
