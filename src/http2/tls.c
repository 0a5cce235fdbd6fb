/* SPDX-License-Identifier: MIT */
/*
 * TLS under HTTP/2. OpenSSL never sees the socket: what was read of it in this turn is handed in
 * by a BIO, and what it wants to send is collected, both in memory that all connections of a
 * context share. All that was read is decrypted in the same turn, so what waits anywhere is
 * bounded as on a plain socket: HTTP2_READ_SIZE of input, and of output what the socket did not
 * take of one collection.
 */
#include <openssl/bio.h>
#include <openssl/err.h>
#include <stdlib.h>

#include "http2/tls_io.h"

enum {
    RECORD_MAX = 16 * 1024,  /* plain bytes of one record */
    SEALED_ROOM = 18 * 1024, /* that one may need when it is encrypted */
    /* What a record without data costs of the credit, and counts as: a KeyUpdate that asks for an
     * answer is 30 us. */
    COST_IDLE_RECORD = 32,
    WORK_IDLE_RECORD = 32 * 1024,
};

/* ---- to the socket ---- */

size_t http2_tls_waiting(const struct http2_conn *conn)
{
    return conn->tls->left_len - conn->tls->left_off;
}

static void drop_left(struct http2_conn *conn)
{
    struct http2_tls *tls = conn->tls;
    http2_account_release(conn, tls->left_len);
    free(tls->left);
    tls->left = NULL;
    tls->left_off = tls->left_len = 0;
}

static bool keep_left(struct http2_conn *conn, const uint8_t *bytes, size_t len)
{
    struct http2_tls *tls = conn->tls;
    size_t waiting = http2_tls_waiting(conn);
    uint8_t *left = malloc(waiting + len);
    if (left == NULL)
        return false;
    if (waiting != 0)
        memcpy(left, tls->left + tls->left_off, waiting);
    memcpy(left + waiting, bytes, len);
    drop_left(conn);
    tls->left = left;
    tls->left_len = waiting + len;
    http2_account_force(conn, tls->left_len);
    return true;
}

static bool write_left(struct http2_conn *conn)
{
    struct http2_tls *tls = conn->tls;
    if (tls->left == NULL)
        return true;
    ssize_t n = http2_write_some(conn, tls->left + tls->left_off, http2_tls_waiting(conn));
    if (n < 0)
        return false;
    tls->left_off += (size_t)n;
    if (http2_tls_waiting(conn) == 0)
        drop_left(conn);
    return true;
}

/* Writes what OpenSSL wanted to be sent; the socket's remainder is kept.
 * @return false: the socket is of no use */
static bool flush(struct http2_conn *conn)
{
    struct http2_tls_io *io = conn->context->tls_io;
    size_t len = io->sealed_len, sent = 0;
    io->sealed_len = 0;
    if (!write_left(conn))
        return false;
    if (len != 0 && conn->tls->left == NULL) {
        ssize_t n = http2_write_some(conn, io->sealed, len);
        if (n < 0)
            return false;
        sent = (size_t)n;
    }
    return sent == len || keep_left(conn, io->sealed + sent, len - sent);
}

/* @return false: OpenSSL does not go on */
static bool seal(struct http2_conn *conn)
{
    struct http2_output *out = &conn->out;
    const struct http2_tls_io *io = conn->context->tls_io;
    while (http2_output_waiting(out) != 0 && HTTP2_TLS_SEALED - io->sealed_len >= SEALED_ROOM) {
        size_t len = http2_output_waiting(out);
        int n = SSL_write(conn->tls->ssl, out->bytes + out->off,
                          len < RECORD_MAX ? (int)len : RECORD_MAX);
        if (n <= 0)
            return false;
        out->off += (size_t)n;
    }
    return true;
}

bool http2_tls_write(struct http2_conn *conn)
{
    struct http2_output *out = &conn->out;
    if (!conn->tls->established) { /* nobody could read it */
        out->off = out->len;
        return flush(conn);
    }
    if (http2_output_waiting(out) != 0) {
        http2_tls_warm_up(conn);
        ERR_clear_error();
    }
    do {
        bool sealed = conn->tls->left != NULL || seal(conn);
        if (!flush(conn) || !sealed)
            return false;
    } while (conn->tls->left == NULL && http2_output_waiting(out) != 0);
    return true;
}

void http2_tls_shutdown(struct http2_conn *conn)
{
    if (!conn->tls->established)
        return;
    ERR_clear_error();
    SSL_shutdown(conn->tls->ssl);
    ERR_clear_error();
    (void)flush(conn); /* it is told or not: the socket closes */
}

bool http2_tls_ended(const struct http2_conn *conn)
{
    return conn->tls->ended;
}

bool http2_tls_is_new(const struct http2_conn *conn)
{
    return !conn->tls->established && !conn->tls->answered;
}

/* ---- from the socket ---- */

/* One record without data. @return whether to go on */
static bool judge(struct http2_conn *conn, int result)
{
    const struct http2_tls_io *io = conn->context->tls_io;
    switch (SSL_get_error(conn->tls->ssl, result)) {
    case SSL_ERROR_WANT_READ: /* half a record; or one that was not data: a KeyUpdate, or empty */
        if (io->in_len == 0)
            return false;
        http2_turn_spend(conn, WORK_IDLE_RECORD);
        return http2_conn_spend(conn, COST_IDLE_RECORD, HTTP2_LIMIT_OTHER_FRAMES);
    case SSL_ERROR_ZERO_RETURN: /* what came before it counts */
        conn->tls->ended = true;
        return false;
    case SSL_ERROR_WANT_WRITE: /* answers to KeyUpdates, more than were ever asked for */
    default:                   /* an alert, a broken record */
        ERR_clear_error();
        http2_conn_hang_up(conn);
        return false;
    }
}

static size_t decrypt(struct http2_conn *conn, uint8_t *dst, size_t room)
{
    const struct http2_tls_io *io = conn->context->tls_io;
    size_t got = 0;
    while (got < room && !conn->tls->ended &&
           (io->in_len != 0 || SSL_pending(conn->tls->ssl) != 0)) {
        size_t left = room - got;
        int n = SSL_read(conn->tls->ssl, dst + got, (int)left);
        if (n > 0)
            got += (size_t)n;
        else if (!judge(conn, n))
            break;
    }
    return got;
}

ssize_t http2_tls_read(struct http2_conn *conn, uint8_t *dst, size_t room)
{
    struct http2_tls_io *io = conn->context->tls_io;
    size_t got = 0;
    if (conn->tls->ended) /* what it said before is handled still */
        return 0;
    ssize_t n = http2_input_read_socket(conn, io->cipher, HTTP2_TLS_READ);
    if (n < 0 && !conn->tls->established && conn->tls->used_ms != 0) /* else it said nothing */
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
        got = decrypt(conn, dst, room);
    io->in_len = 0;
    conn->tls->body = io->body;
    conn->tls->half = io->half;
    if (!flush(conn)) {
        OPENSSL_cleanse(dst, got);
        return -1;
    }
    return (ssize_t)got;
}

/* ---- begin and end ---- */

void http2_tls_free(struct http2_conn *conn)
{
    struct http2_tls *tls = conn->tls;
    http2_tls_cool(conn->context->tls_io, tls);
    drop_left(conn);
    SSL_free(tls->ssl);
    free(tls->offered);
    free(tls);
    conn->tls = NULL;
}

static struct http2_tls *tls_create(struct http2_context *context, SSL_CTX *ctx)
{
    if (context->tls_io == NULL)
        context->tls_io = http2_tls_io_create(context);
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
    /* 9.2.1: no compression, no renegotiation; 9.2.2: AEAD with ephemeral keys for TLS 1.2. What
     * was decrypted is overwritten in OpenSSL's buffers. */
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
    SSL_set_app_data(tls->ssl, conn);
    http2_turn_start(conn);
}

const char *http2_conn_subject(const struct http2_conn *conn)
{
    return conn->subject;
}
