/* SPDX-License-Identifier: MIT */
#include "http2/tls/tls_handshake.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http2/conn_error.h"
#include "http2/conn_state.h"
#include "http2/tls/tls_io.h"

enum {
    NOTES_PER_SECOND = 10,
    SIGNED_MIN =
        400, /* bytes of the shortest answer that has a certificate and a signature in it */
};

static char *copy_subject(const SSL *ssl)
{
    X509 *certificate = SSL_get0_peer_certificate(ssl);
    BIO *out = certificate == NULL ? NULL : BIO_new(BIO_s_mem());
    char *text, *copy = NULL;
    if (out == NULL)
        return NULL;
    /* UTF-8 is not escaped, which RFC 4514 allows */
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
    uint64_t now = timers_now(io->context->timers);
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
    http2_conn_hang_up(conn); /* the alert is sent first */
}

bool http2_tls_shake_hands(struct http2_conn *conn)
{
    struct http2_tls *tls = conn->tls;
    conn->over = 1; /* a signature takes as long as a turn may last */
    conn->context->overs++;
    int result = SSL_do_handshake(tls->ssl);
    tls->answered |= conn->context->tls_io->sealed_len >= SIGNED_MIN;
    if (result == 1) {
        tls->established = true;
        conn->subject = copy_subject(tls->ssl);
        free(tls->offered);
        tls->offered = NULL;
        ERR_clear_error(); /* left by callbacks that tried something and went on */
        return true;
    }
    if (SSL_get_error(tls->ssl, result) != SSL_ERROR_WANT_READ)
        handshake_failed(conn);
    return false;
}
