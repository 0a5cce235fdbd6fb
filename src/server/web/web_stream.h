/* SPDX-License-Identifier: MIT */
/* How the bytes of a web connection reach its socket: as they are, or through TLS. Nothing blocks.
 */
#ifndef ROSTERD_SERVER_WEB_WEB_STREAM_H
#define ROSTERD_SERVER_WEB_WEB_STREAM_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

/** Encrypted bytes of a connection: a handshake with a chain of certificates, a request, and
 * nothing else that a client needs. It bounds what records without data cost. */
enum { STREAM_INPUT_MAX = 32 * 1024 };

struct stream {
    int fd;
    SSL *ssl;      /* NULL: no TLS */
    bool answered; /* the server's part of the handshake, with its signature, was made */
};

/** What a handshake waits for. */
enum stream_wait { STREAM_DONE, STREAM_WAITS_TO_READ, STREAM_WAITS_TO_WRITE, STREAM_FAILED };

/** @param fd stays the caller's @param tls NULL: no TLS @return false: out of memory */
bool stream_open(struct stream *stream, int fd, SSL_CTX *tls);
/** Frees what belongs to TLS. The socket stays open. */
void stream_close(struct stream *stream);
/** Goes on with the handshake. With STREAM_FAILED, stream_fault() says why. */
enum stream_wait stream_shake_hands(struct stream *stream);
/** Why the handshake has failed; a static text. */
const char *stream_fault(const struct stream *stream);
/** Whether the client has shown a certificate, which the handshake has checked; or there is no TLS,
 * as on a unix socket, so it cannot show any. */
bool stream_is_certified(const struct stream *stream);
/** @return bytes; 0: none are there now; -1: no more will come */
ssize_t stream_read(struct stream *stream, char *bytes, size_t room);
/** Writes what the socket takes of the parts: with TLS, of the first one that is not empty.
 * @return bytes; 0: the socket is full; -1: the connection is lost */
ssize_t stream_write(struct stream *stream, const struct iovec *parts, size_t count);
/** Tells the client that nothing follows. */
void stream_finish(struct stream *stream);

#endif
