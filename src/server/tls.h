/* SPDX-License-Identifier: MIT */
/*
 * TLS by OpenSSL: certificate pairs by the name that a client asks for (SNI), client
 * certificates, session tickets that every worker understands. TLS 1.2 and 1.3, ALPN h2.
 *
 * Tickets are sealed by a key of the hour. Each hour's secret is derived from the one before
 * it, which is then forgotten: tickets of the hour before still count and are renewed, older
 * ones cannot be read by anybody any more. All processes derive the same, each for itself.
 */
#ifndef ROSTERD_SERVER_TLS_H
#define ROSTERD_SERVER_TLS_H

#include <openssl/ssl.h>

#include "server/options.h"

struct tls;

/** Names the option, the file and what is wrong with it. */
struct tls_report {
    char fault[768];
    char warning[512]; /* empty: none */
};

/**
 * Before fork, so that workers share the tickets' secret. An expired certificate, a key of another
 * one and a file that cannot be read are faults.
 * @param options must outlive it
 * @param before whose tickets go on to count; NULL: none's
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
