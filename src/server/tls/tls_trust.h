/* SPDX-License-Identifier: MIT */
/*
 * Whose client certificates count: authorities, and what they have revoked. An intermediate
 * authority counts by itself, its root need not be there.
 *
 * With revocation lists a client's certificate passes where its issuer's list is there and does
 * not name it; the authorities above are looked up in the lists that are there.
 */
#ifndef ROSTERD_SERVER_TLS_TLS_TRUST_H
#define ROSTERD_SERVER_TLS_TLS_TRUST_H

#include <stdint.h>

#include "server/tls/tls.h"

/** Longest name of a session's context that OpenSSL takes, and a SHA-256. */
enum { TLS_TRUST_DIGEST = 32 };

struct tls_trust {
    X509_STORE *store; /* NULL: no client certificate is asked for */
    STACK_OF(X509) * authorities;
    int64_t lists_until; /* seconds since 1970 when the first list expires; INT64_MAX: none */
    uint8_t digest[TLS_TRUST_DIGEST]; /* of all of this: differs where anything does */
};

/** Of the options tls-client-ca and tls-crl.
 * @return false, told; there is something to free in either case */
bool tls_trust_load(struct tls_trust *trust, const struct options *options,
                    struct tls_report *report);
void tls_trust_free(struct tls_trust *trust);
/** Lets connections of this context ask for a certificate, and judge it. */
bool tls_trust_apply(const struct tls_trust *trust, SSL_CTX *ssl);
/** Until when, in seconds since 1970, what a full handshake has found out about the client goes on
 * to be true; INT64_MAX: for ever. */
int64_t tls_trust_until(const struct tls_trust *trust, const SSL *ssl);

#endif
