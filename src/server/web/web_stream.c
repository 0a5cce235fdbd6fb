/* SPDX-License-Identifier: MIT */
#include "server/web/web_stream.h"

#include <errno.h>
#include <limits.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <sys/param.h>
#include <sys/socket.h>

/* Bytes of the shortest answer that has a certificate and a signature in it: a HelloRetryRequest is
 * shorter. */
enum { SIGNED_MIN = 400 };

bool stream_open(struct stream *stream, int fd, SSL_CTX *tls)
{
    *stream = (struct stream){.fd = fd};
    if (tls == NULL)
        return true;
    stream->ssl = SSL_new(tls);
    if (stream->ssl == NULL || SSL_set_fd(stream->ssl, fd) != 1) {
        stream_close(stream);
        return false;
    }
    SSL_set_accept_state(stream->ssl);
    return true;
}

void stream_close(struct stream *stream)
{
    SSL_free(stream->ssl);
    stream->ssl = NULL;
    ERR_clear_error();
}

static bool sent_too_much(const struct stream *stream)
{
    return BIO_number_read(SSL_get_rbio(stream->ssl)) > STREAM_INPUT_MAX;
}

/* ---- the handshake ---- */

enum stream_wait stream_shake_hands(struct stream *stream)
{
    if (stream->ssl == NULL)
        return STREAM_DONE;
    ERR_clear_error();
    int result = SSL_do_handshake(stream->ssl);
    stream->answered = BIO_number_written(SSL_get_wbio(stream->ssl)) >= SIGNED_MIN;
    if (result == 1)
        return STREAM_DONE;
    switch (SSL_get_error(stream->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return sent_too_much(stream) ? STREAM_FAILED : STREAM_WAITS_TO_READ;
    case SSL_ERROR_WANT_WRITE:
        return STREAM_WAITS_TO_WRITE;
    default:
        return STREAM_FAILED;
    }
}

const char *stream_fault(const struct stream *stream)
{
    unsigned long error = ERR_peek_error();
    long verified = SSL_get_verify_result(stream->ssl);
    if (ERR_GET_LIB(error) == ERR_LIB_SSL &&
        ERR_GET_REASON(error) == SSL_R_CERTIFICATE_VERIFY_FAILED && verified != X509_V_OK)
        return X509_verify_cert_error_string(verified);
    if (sent_too_much(stream))
        return "the client has sent too much";
    const char *reason = ERR_reason_error_string(error);
    return reason != NULL ? reason : "the client has hung up";
}

bool stream_is_certified(const struct stream *stream)
{
    return stream->ssl == NULL || SSL_get0_peer_certificate(stream->ssl) != NULL;
}

/* ---- bytes ---- */

/* The result of a system call that returned -1. */
static ssize_t stream_errno(void)
{
    return errno == EAGAIN || errno == EINTR ? 0 : -1;
}

static ssize_t read_tls(const struct stream *stream, char *bytes, size_t room)
{
    ERR_clear_error();
    int got = SSL_read(stream->ssl, bytes, (int)MIN(room, (size_t)INT_MAX));
    if (sent_too_much(stream))
        return -1;
    if (got > 0)
        return got;
    return SSL_get_error(stream->ssl, got) == SSL_ERROR_WANT_READ ? 0 : -1;
}

ssize_t stream_read(struct stream *stream, char *bytes, size_t room)
{
    if (stream->ssl != NULL)
        return read_tls(stream, bytes, room);
    ssize_t got = recv(stream->fd, bytes, room, 0);
    return got > 0 ? got : got == 0 ? -1 : stream_errno();
}

/* One record, which the kernel takes as a whole or later. */
static ssize_t write_tls(const struct stream *stream, const struct iovec *parts, size_t count)
{
    size_t at = 0;
    while (at < count && parts[at].iov_len == 0)
        at++;
    if (at == count)
        return 0;
    ERR_clear_error();
    int sent =
        SSL_write(stream->ssl, parts[at].iov_base, (int)MIN(parts[at].iov_len, (size_t)INT_MAX));
    if (sent > 0)
        return sent;
    return SSL_get_error(stream->ssl, sent) == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

ssize_t stream_write(struct stream *stream, const struct iovec *parts, size_t count)
{
    if (stream->ssl != NULL)
        return write_tls(stream, parts, count);
    const struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)parts,
                                   .msg_iovlen = count};
    ssize_t sent = sendmsg(stream->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    return sent >= 0 ? sent : stream_errno();
}

void stream_finish(struct stream *stream)
{
    if (stream->ssl != NULL) {
        ERR_clear_error();
        SSL_shutdown(stream->ssl);
    }
    shutdown(stream->fd, SHUT_WR);
}
