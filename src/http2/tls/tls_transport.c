/* SPDX-License-Identifier: MIT */
/*
 * TLS under HTTP/2: the transport of a TLS connection, and http2_accept_tls().
 *
 * What was read from the socket in this turn is handed to OpenSSL by a BIO, and what OpenSSL wants
 * to send is collected, both in memory that all connections of a context share (tls_io.h). All that
 * was read is decrypted in the same turn. So the bounds are those of a plain connection:
 * HTTP2_READ_SIZE of input, and one collection of output that the socket did not take.
 */
#include <assert.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#include "http2/account.h"
#include "http2/conn.h"
#include "http2/conn_error.h"
#include "http2/conn_state.h"
#include "http2/loop.h"
#include "http2/socket.h"
#include "http2/tls/tls_handshake.h"
#include "http2/tls/tls_hello.h"
#include "http2/tls/tls_io.h"
#include "http2/transport.h"
#include "http2/turn.h"

enum {
    RECORD_MAX = 16 * 1024,  /* plain bytes of one record */
    SEALED_ROOM = 18 * 1024, /* bytes that such a record may need when it is encrypted */
    /* What a record without data costs of the peer's credit, and of the turn: a KeyUpdate that asks
     * for an answer takes 30 us. */
    COST_IDLE_RECORD = 32,
    WORK_IDLE_RECORD = 32 * 1024,
};

/* ---- to the socket ---- */

static void drop_left(struct http2_conn *conn)
{
    struct http2_tls *tls = conn->tls;
    http2_account_release(conn, tls->left_len);
    free(tls->left);
    tls->left = NULL;
    tls->left_off = tls->left_len = 0;
    conn->sealed_waiting = 0;
}

/* Keeps bytes that the socket did not take. @return false: out of memory */
static bool keep_left(struct http2_conn *conn, const uint8_t *bytes, size_t len)
{
    struct http2_tls *tls = conn->tls;
    size_t waiting = conn->sealed_waiting;
    uint8_t *left = malloc(waiting + len);
    if (left == NULL)
        return false;
    if (waiting != 0)
        memcpy(left, tls->left + tls->left_off, waiting);
    memcpy(left + waiting, bytes, len);
    drop_left(conn);
    tls->left = left;
    tls->left_len = conn->sealed_waiting = waiting + len;
    http2_account_force(conn, tls->left_len);
    return true;
}

static bool write_left(struct http2_conn *conn)
{
    struct http2_tls *tls = conn->tls;
    if (tls->left == NULL)
        return true;
    ssize_t n = http2_socket_write(conn, tls->left + tls->left_off, conn->sealed_waiting);
    if (n < 0)
        return false;
    tls->left_off += (size_t)n;
    conn->sealed_waiting -= (size_t)n;
    assert(tls->left_len - tls->left_off == conn->sealed_waiting);
    if (conn->sealed_waiting == 0)
        drop_left(conn);
    return true;
}

/* Writes what OpenSSL wants to send, and keeps what the socket does not take.
 * @return false: the socket is broken */
static bool flush_sealed(struct http2_conn *conn)
{
    struct http2_tls_io *io = conn->context->tls_io;
    size_t len = io->sealed_len, sent = 0;
    io->sealed_len = 0;
    if (!write_left(conn))
        return false;
    if (len != 0 && conn->tls->left == NULL) {
        ssize_t n = http2_socket_write(conn, io->sealed, len);
        if (n < 0)
            return false;
        sent = (size_t)n;
    }
    return sent == len || keep_left(conn, io->sealed + sent, len - sent);
}

/* Encrypts output while there is room for a record. @return false: OpenSSL has failed */
static bool seal_output(struct http2_conn *conn)
{
    struct http2_output *out = &conn->out;
    const struct http2_tls_io *io = conn->context->tls_io;
    while (http2_output_waiting(out) != 0 && HTTP2_TLS_SEALED - io->sealed_len >= SEALED_ROOM) {
        size_t len = MIN(http2_output_waiting(out), (size_t)RECORD_MAX);
        int n = SSL_write(conn->tls->ssl, out->bytes + out->off, (int)len);
        if (n <= 0)
            return false;
        out->off += (size_t)n;
    }
    return true;
}

static bool tls_write(struct http2_conn *conn)
{
    struct http2_output *out = &conn->out;
    if (!conn->tls->established) { /* it cannot be encrypted, so it is dropped */
        out->off = out->len;
        return flush_sealed(conn);
    }
    if (http2_output_waiting(out) != 0) {
        http2_tls_warm_up(conn);
        ERR_clear_error();
    }
    do {
        bool sealed = conn->tls->left != NULL || seal_output(conn);
        if (!flush_sealed(conn) || !sealed)
            return false;
    } while (conn->tls->left == NULL && http2_output_waiting(out) != 0);
    return true;
}

static void tls_shutdown(struct http2_conn *conn)
{
    if (!conn->tls->established)
        return;
    ERR_clear_error();
    SSL_shutdown(conn->tls->ssl);
    ERR_clear_error();
    (void)flush_sealed(conn); /* the socket closes even if the peer cannot be notified */
}

static bool tls_ended(const struct http2_conn *conn)
{
    return conn->tls->ended;
}

static bool tls_is_new(const struct http2_conn *conn)
{
    return !conn->tls->established && !conn->tls->answered;
}

/* ---- from the socket ---- */

/* SSL_read() has returned no data. @return true: more may be read */
static bool judge_record(struct http2_conn *conn, int result)
{
    const struct http2_tls_io *io = conn->context->tls_io;
    switch (SSL_get_error(conn->tls->ssl, result)) {
    case SSL_ERROR_WANT_READ: /* half a record, or one without data: a KeyUpdate, or empty */
        if (io->in_len == 0)
            return false;
        http2_turn_spend(conn, WORK_IDLE_RECORD);
        return http2_conn_spend(conn, COST_IDLE_RECORD, HTTP2_LIMIT_OTHER_FRAMES);
    case SSL_ERROR_ZERO_RETURN: /* close_notify; what came before it is still handled */
        conn->tls->ended = true;
        return false;
    case SSL_ERROR_WANT_WRITE: /* more answers to KeyUpdates than an honest peer asks for */
    default:                   /* an alert, a broken record */
        ERR_clear_error();
        http2_conn_hang_up(conn);
        return false;
    }
}

static size_t decrypt_input(struct http2_conn *conn, uint8_t *dst, size_t room)
{
    const struct http2_tls_io *io = conn->context->tls_io;
    size_t got = 0;
    while (got < room && !conn->tls->ended &&
           (io->in_len != 0 || SSL_pending(conn->tls->ssl) != 0)) {
        int n = SSL_read(conn->tls->ssl, dst + got, (int)(room - got));
        if (n > 0)
            got += (size_t)n;
        else if (!judge_record(conn, n))
            break;
    }
    return got;
}

static ssize_t tls_read(struct http2_conn *conn, uint8_t *dst, size_t room)
{
    struct http2_tls_io *io = conn->context->tls_io;
    size_t got = 0;
    if (conn->tls->ended) /* what came before close_notify is still being handled */
        return 0;
    ssize_t n = http2_socket_read(conn, io->cipher, HTTP2_TLS_READ);
    if (n < 0 && !conn->tls->established && conn->tls->used_ms != 0) /* 0: it never sent a byte */
        conn->context->counts.tls_failures++;
    if (n <= 0)
        return n;
    http2_tls_warm_up(conn);
    ERR_clear_error();
    io->in = io->cipher;
    io->in_len = (size_t)n;
    io->body = conn->tls->body;
    io->half = conn->tls->half;
    if (conn->tls->established || http2_tls_shake_hands(conn))
        got = decrypt_input(conn, dst, room);
    io->in_len = 0;
    conn->tls->body = io->body;
    conn->tls->half = io->half;
    if (!flush_sealed(conn)) {
        OPENSSL_cleanse(dst, got);
        return -1;
    }
    return (ssize_t)got;
}

/* ---- begin and end ---- */

static void tls_dispose(struct http2_conn *conn)
{
    struct http2_tls *tls = conn->tls;
    http2_tls_cool(conn->context->tls_io, tls);
    drop_left(conn);
    SSL_free(tls->ssl);
    free(tls->offered);
    free(tls);
    conn->tls = NULL;
}

static const struct http2_transport tls_transport = {
    .read = tls_read,
    .write = tls_write,
    .is_new = tls_is_new,
    .ended = tls_ended,
    .shutdown = tls_shutdown,
    .dispose = tls_dispose,
};

/* @return NULL: no memory */
static struct http2_tls *tls_create(struct http2_context *context, SSL_CTX *ctx)
{
    if (context->tls_io == NULL)
        context->tls_io = http2_tls_io_create(context);
    context->tls_io_dispose = http2_tls_io_dispose;
    struct http2_tls *tls = context->tls_io != NULL ? calloc(1, sizeof(*tls)) : NULL;
    if (tls == NULL)
        return NULL;
    BIO *bio = BIO_new(context->tls_io->method);
    tls->ssl = SSL_new(ctx);
    if (bio == NULL || tls->ssl == NULL) {
        BIO_free(bio);
        SSL_free(tls->ssl);
        free(tls);
        return NULL;
    }
    BIO_set_data(bio, context->tls_io);
    BIO_set_init(bio, 1);
    SSL_set_bio(tls->ssl, bio, bio);
    SSL_set_accept_state(tls->ssl);
    return tls;
}

bool http2_tls_prepare(SSL_CTX *ssl)
{
    /* 9.2.1: no compression, no renegotiation; 9.2.2: AEAD with ephemeral keys for TLS 1.2. OpenSSL
     * overwrites decrypted bytes in its buffers. */
    SSL_CTX_set_options(ssl, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_CLEANSE_PLAINTEXT);
    SSL_CTX_clear_mode(ssl, SSL_MODE_AUTO_RETRY); /* records without data are counted */
    SSL_CTX_set_mode(ssl, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_client_hello_cb(ssl, http2_tls_on_hello, NULL);
    SSL_CTX_set_alpn_select_cb(ssl, http2_tls_choose_protocol, NULL);
    return SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION) == 1 &&
           SSL_CTX_set_cipher_list(ssl, "ECDHE+AESGCM:ECDHE+CHACHA20") == 1;
}

void http2_accept_tls(struct http2_context *context, h2o_socket_t *sock, SSL_CTX *ssl)
{
    struct http2_tls *tls = tls_create(context, ssl);
    if (tls == NULL) {
        h2o_socket_close(sock);
        return;
    }
    struct http2_conn *conn = http2_conn_create(context, sock);
    if (conn == NULL) {
        SSL_free(tls->ssl);
        free(tls);
        return;
    }
    conn->tls = tls;
    conn->transport = &tls_transport;
    SSL_set_app_data(tls->ssl, conn);
    http2_loop_start(conn);
}

const char *http2_conn_subject(const struct http2_conn *conn)
{
    return conn->subject;
}
