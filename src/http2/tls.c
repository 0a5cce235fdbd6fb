/* SPDX-License-Identifier: MIT */
/*
 * TLS under HTTP/2. OpenSSL never sees the socket: what was read of it in this turn is handed in
 * by a BIO, and what it wants to send is collected, both in memory that all connections of a
 * context share. All that was read is decrypted in the same turn, so what waits anywhere is
 * bounded as on a plain socket: HTTP2_READ_SIZE of input, and of output what the socket did not
 * take of one collection.
 *
 * OpenSSL's own buffers (17 KiB to read, as much to write) stay with a connection while it is in
 * use and are given back when it was not for WARM_MS: asking malloc for them in each turn costs
 * more than decrypting a request.
 */
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "http2/tls_io.h"

enum {
    CIPHER_READ = 64 * 1024, /* one read: decrypted it fits into HTTP2_READ_SIZE, with the rest of a
                                record that OpenSSL has */
    RECORD_MAX = 16 * 1024,  /* plain bytes of one record */
    SEALED_MAX = 96 * 1024,  /* encrypted ones before they are written */
    SEALED_ROOM = 18 * 1024, /* that one record may need of it */
    WARM_MS = 1000,
    WARM_MAX = 2048, /* connections with buffers: 70 MiB */
    NOTES_PER_SECOND = 10,
    /* What a record without data costs of the credit, and counts as: a KeyUpdate that asks for an
     * answer is 30 us. */
    COST_IDLE_RECORD = 32,
    WORK_IDLE_RECORD = 32 * 1024,
    SIGNED_LEAST = 400, /* bytes */
};

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
    struct http2_timer cooler;
    uint64_t noted_ms; /* the second in which notes are counted began */
    unsigned notes;
    uint8_t cipher[CIPHER_READ], sealed[SEALED_MAX];
};

/* ---- the BIO ---- */

static int bio_read(BIO *bio, char *dst, int room)
{
    struct http2_tls_io *io = BIO_get_data(bio);
    size_t len = (size_t)room < io->in_len ? (size_t)room : io->in_len;
    BIO_clear_retry_flags(bio);
    if (len == (size_t)room)
        io->body = !io->body; /* it asks for a header, then for a body */
    io->half = len < (size_t)room && (len != 0 || io->half);
    if (len == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    memcpy(dst, io->in, len);
    io->in += len;
    io->in_len -= len;
    return (int)len;
}

static int bio_write(BIO *bio, const char *src, int len)
{
    struct http2_tls_io *io = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if ((size_t)len > SEALED_MAX - io->sealed_len) {
        BIO_set_retry_write(bio);
        return -1;
    }
    memcpy(io->sealed + io->sealed_len, src, (size_t)len);
    io->sealed_len += (size_t)len;
    return len;
}

static long bio_ctrl(BIO *bio, int command, long number, void *data)
{
    (void)bio, (void)number, (void)data;
    return command == BIO_CTRL_FLUSH;
}

static void on_cool(struct http2_timer *timer);

static struct http2_tls_io *io_create(struct http2_context *context)
{
    struct http2_tls_io *io = malloc(sizeof(*io));
    BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "http2");
    if (io == NULL || method == NULL || BIO_meth_set_read(method, bio_read) != 1 ||
        BIO_meth_set_write(method, bio_write) != 1 || BIO_meth_set_ctrl(method, bio_ctrl) != 1) {
        BIO_meth_free(method);
        free(io);
        return NULL;
    }
    memset(io, 0, offsetof(struct http2_tls_io, cipher));
    io->method = method;
    io->context = context;
    io->cooler.expired = on_cool;
    h2o_linklist_init_anchor(&io->warm);
    return io;
}

void http2_tls_io_free(struct http2_context *context)
{
    struct http2_tls_io *io = context->tls_io;
    if (io == NULL)
        return;
    http2_timer_disarm(context->timers, &io->cooler);
    BIO_meth_free(io->method);
    free(io);
}

/* ---- OpenSSL's buffers ---- */

static void cool(struct http2_tls_io *io, struct http2_tls *tls)
{
    if (!h2o_linklist_is_linked(&tls->warm))
        return;
    h2o_linklist_unlink(&tls->warm);
    io->num_warm--;
    /* Not those with half a record in them: OpenSSL would not do it, and some versions try
     * (CVE-2024-4741). */
    if (!tls->body && !tls->half)
        SSL_free_buffers(tls->ssl);
}

static struct http2_tls *coolest(struct http2_tls_io *io)
{
    return H2O_STRUCT_FROM_MEMBER(struct http2_tls, warm, io->warm.next);
}

static void on_cool(struct http2_timer *timer)
{
    struct http2_tls_io *io = H2O_STRUCT_FROM_MEMBER(struct http2_tls_io, cooler, timer);
    uint64_t now = http2_timers_now(io->context->timers);
    while (!h2o_linklist_is_empty(&io->warm) && coolest(io)->used_ms + WARM_MS <= now)
        cool(io, coolest(io));
    if (!h2o_linklist_is_empty(&io->warm))
        http2_timer_arm(io->context->timers, timer, coolest(io)->used_ms + WARM_MS);
}

static void warm_up(struct http2_conn *conn)
{
    struct http2_tls_io *io = conn->context->tls_io;
    struct http2_tls *tls = conn->tls;
    tls->used_ms = http2_timers_now(conn->context->timers);
    if (h2o_linklist_is_linked(&tls->warm))
        h2o_linklist_unlink(&tls->warm);
    else if (++io->num_warm > WARM_MAX)
        cool(io, coolest(io));
    h2o_linklist_insert(&io->warm, &tls->warm);
    if (!http2_timer_armed(&io->cooler))
        http2_timer_arm(conn->context->timers, &io->cooler, tls->used_ms + WARM_MS);
}

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
    while (http2_output_waiting(out) != 0 && SEALED_MAX - io->sealed_len >= SEALED_ROOM) {
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
        warm_up(conn);
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

/* ---- the handshake ---- */

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

static bool may_note(struct http2_tls_io *io)
{
    uint64_t now = http2_timers_now(io->context->timers);
    if (now - io->noted_ms >= 1000) {
        io->noted_ms = now;
        io->notes = 0;
    }
    return io->context->settings.note != NULL && ++io->notes <= NOTES_PER_SECOND;
}

static void note_failure(struct http2_conn *conn, const char *reason)
{
    const struct http2_tls *tls = conn->tls;
    char line[512];
    if (!may_note(conn->context->tls_io))
        return;
    snprintf(line, sizeof(line), "TLS handshake with %s failed: %s; it offered %s",
             http2_conn_peer(conn), reason, tls->offered != NULL ? tls->offered : "nothing");
    conn->context->settings.note(line);
}

static void handshake_failed(struct http2_conn *conn)
{
    unsigned long error = ERR_peek_error();
    long verified = SSL_get_verify_result(conn->tls->ssl);
    const char *reason = ERR_reason_error_string(error);
    if (ERR_GET_REASON(error) == SSL_R_CERTIFICATE_VERIFY_FAILED && verified != X509_V_OK)
        reason = X509_verify_cert_error_string(verified);
    else if (ERR_GET_REASON(error) == SSL_R_CALLBACK_FAILED && conn->tls->offered != NULL)
        reason = "a client without ALPN does not speak HTTP/2";
    conn->context->counts.tls_failures++;
    note_failure(conn, reason != NULL ? reason : "unknown reason");
    ERR_clear_error();
    http2_conn_hang_up(conn); /* the alert goes out first */
}

/* @return whether it is complete */
static bool shake_hands(struct http2_conn *conn)
{
    struct http2_tls *tls = conn->tls;
    conn->over = 1; /* signing is as long as a turn may be */
    conn->context->overs++;
    int result = SSL_do_handshake(tls->ssl);
    /* What has a certificate and a signature in it is longer than any other answer. */
    tls->answered |= conn->context->tls_io->sealed_len >= SIGNED_LEAST;
    if (result == 1) {
        tls->established = true;
        conn->subject = subject_of(tls->ssl);
        free(tls->offered);
        tls->offered = NULL;
        ERR_clear_error(); /* what a callback tried and did not mind */
        return true;
    }
    if (SSL_get_error(tls->ssl, result) != SSL_ERROR_WANT_READ)
        handshake_failed(conn);
    return false;
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

static ssize_t read_socket(struct http2_conn *conn, uint8_t *dst, size_t room)
{
    ssize_t n;
    do
        n = read(h2o_socket_get_fd(conn->sock), dst, room);
    while (n < 0 && errno == EINTR);
    if (n > 0)
        return n;
    return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? 0 : -1;
}

ssize_t http2_tls_read(struct http2_conn *conn, uint8_t *dst, size_t room)
{
    struct http2_tls_io *io = conn->context->tls_io;
    size_t got = 0;
    if (conn->tls->ended) /* what it said before is handled still */
        return 0;
    ssize_t n = read_socket(conn, io->cipher, CIPHER_READ);
    if (n < 0 && !conn->tls->established && conn->tls->used_ms != 0) /* else it said nothing */
        conn->context->counts.tls_failures++;
    if (n <= 0)
        return n;
    warm_up(conn);
    ERR_clear_error();
    io->in = io->cipher;
    io->in_len = (size_t)n;
    io->body = conn->tls->body;
    io->half = conn->tls->half;
    if (conn->tls->established || shake_hands(conn))
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
    cool(conn->context->tls_io, tls);
    drop_left(conn);
    SSL_free(tls->ssl);
    free(tls->offered);
    free(tls);
    conn->tls = NULL;
}

static struct http2_tls *tls_create(struct http2_context *context, SSL_CTX *ctx)
{
    if (context->tls_io == NULL)
        context->tls_io = io_create(context);
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
