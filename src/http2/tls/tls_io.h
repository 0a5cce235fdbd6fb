/* SPDX-License-Identifier: MIT */
/*
 * Between OpenSSL and the socket: memory that all TLS connections of a context share. OpenSSL never
 * sees a socket. It reads from `in`, which tls_transport.c has filled, and writes into `sealed`.
 *
 * OpenSSL's own buffers (17 KiB to read, as much to write) stay with a connection while it is warm:
 * until it was idle for a second. To allocate them in each turn would cost more than decrypting a
 * request.
 */
#ifndef ROSTERD_HTTP2_TLS_TLS_IO_H
#define ROSTERD_HTTP2_TLS_TLS_IO_H

#include <openssl/ssl.h>

#include "base/timer.h"
#include "http2/conn_state.h"

enum {
    /* One read of a socket. Decrypted, it fits into HTTP2_READ_SIZE together with the rest of a
     * record that OpenSSL holds. */
    HTTP2_TLS_READ = 64 * 1024,
    HTTP2_TLS_SEALED = 96 * 1024, /* encrypted bytes that are collected before a write */
};

/* What all TLS connections of a context share. */
struct http2_tls_io {
    BIO_METHOD *method;
    const uint8_t *in; /* bytes of the running read that OpenSSL has not taken yet */
    size_t in_len;
    bool body; /* OpenSSL has taken a record's header, and asks for its body */
    bool half; /* OpenSSL holds a part of what it asks for */
    size_t sealed_len;
    h2o_linklist_t warm; /* connections with buffers; the one used longest ago is the first */
    size_t num_warm;
    struct http2_context *context;
    struct timer cooler;
    uint64_t noted_ms; /* when the second began in which notes are counted */
    unsigned notes;
    uint8_t cipher[HTTP2_TLS_READ], sealed[HTTP2_TLS_SEALED];
};

struct http2_tls {
    SSL *ssl;
    h2o_linklist_t warm; /* in io->warm while OpenSSL keeps buffers for the connection */
    uint64_t used_ms;
    char *offered; /* what the ClientHello offered, for the log; NULL: none came, or the handshake
                      is complete */
    uint8_t *left; /* encrypted bytes that the socket has not taken yet */
    size_t left_off, left_len;
    bool established; /* the handshake is complete */
    bool ended;       /* close_notify has come */
    bool body, half;  /* as in struct http2_tls_io, between two reads */
    bool answered;    /* our signature was sent */
};

/** @return NULL: no memory */
struct http2_tls_io *http2_tls_io_create(struct http2_context *context);
void http2_tls_io_dispose(struct http2_tls_io *io);
/** Notes that the connection is used now: OpenSSL may keep its buffers. */
void http2_tls_warm_up(struct http2_conn *conn);
/** Takes the connection off the list of warm ones, and has OpenSSL free its buffers. */
void http2_tls_cool(struct http2_tls_io *io, struct http2_tls *tls);

#endif
