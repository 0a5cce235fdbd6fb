/* SPDX-License-Identifier: MIT */
/*
 * Which client certificates are accepted: those of the CAs in tls-client-ca that no CRL of tls-crl
 * revokes, and for metrics-listen those of its own options of the kind. An intermediate CA is
 * trusted on its own, without its root.
 *
 * If CRLs are configured, a client certificate passes only if the CRL of its issuer is loaded and
 * does not name it. The CAs above the issuer are checked against the CRLs that are loaded.
 */
#ifndef ROSTERD_SERVER_TLS_TLS_TRUST_H
#define ROSTERD_SERVER_TLS_TLS_TRUST_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "server/tls/tls_files.h"

/** Bytes of a SHA-256; also the longest session id context that OpenSSL takes. */
enum { TLS_TRUST_DIGEST = 32 };

struct tls_trust {
    X509_STORE *store; /* NULL: clients need no certificate */
    STACK_OF(X509) * authorities;
    int64_t lists_until; /* when the first CRL expires, in seconds since the epoch; or INT64_MAX */
    uint8_t digest[TLS_TRUST_DIGEST]; /* of all the files: differs if any of them does */
};

/**
 * Reads the CAs and the revocation lists.
 * @param trust is overwritten; the caller calls tls_trust_free(), also after a failure
 * @param warning filled if a CA has expired or is revoked
 */
bool tls_trust_load(struct tls_trust *trust, const struct tls_files *files, struct fault *warning,
                    struct fault *fault);
void tls_trust_free(struct tls_trust *trust);
/** Makes connections of the context ask for a certificate and check it. @return false: no memory */
bool tls_trust_apply(const struct tls_trust *trust, SSL_CTX *ssl);
/** How long the trust that a full handshake established is valid, in seconds since the epoch;
 * INT64_MAX: without limit. */
int64_t tls_trust_until(const struct tls_trust *trust, const SSL *ssl);

#endif
