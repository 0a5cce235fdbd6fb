/* SPDX-License-Identifier: MIT */
/*
 * TLS by OpenSSL: certificate pairs by the name that a client asks for (SNI), client
 * certificates and their revocation, session tickets that every worker understands. TLS 1.2 and
 * 1.3, ALPN h2.
 *
 * Of several pairs for one name that differ in the kind of key, RSA and ECDSA say, each client
 * gets one that it can use. Where a client names no server, or one that is nobody's, the first
 * pair is served, or one of another kind that is for all of its names.
 *
 * Its parts: tls_pem.h reads files, tls_pair.h is a certificate with its key, tls_trust.h whom
 * clients' certificates are of, tls_tickets.h how sessions go on and end.
 */
#ifndef ROSTERD_SERVER_TLS_TLS_H
#define ROSTERD_SERVER_TLS_TLS_H

#include <openssl/ssl.h>

#include "server/config/options.h"

struct tls;

/** Names the option, the file and what is wrong with it. */
struct tls_report {
    char fault[768];
    char warning[512]; /* empty: none */
};

/**
 * Before fork, so that workers share the tickets' secret. An expired certificate or revocation
 * list, a key of another one, an encrypted key and a file that cannot be read are faults; nothing
 * here waits for a file or asks for a password.
 * @param options must outlive it
 * @param before whose tickets go on to count where the same clients are trusted; NULL: none's
 * @return NULL with report->fault set
 */
struct tls *tls_load(const struct options *options, const struct tls *before,
                     struct tls_report *report);
void tls_free(struct tls *tls);
/** What new connections are accepted with. */
SSL_CTX *tls_context(struct tls *tls);
/** Forgets ticket secrets of the past: now and then in every process, also one that serves nobody.
 */
void tls_forget_old_secrets(struct tls *tls);

#endif
