/* SPDX-License-Identifier: MIT */
/*
 * TLS with OpenSSL: pairs of certificate and key, chosen by the name that the client asks for
 * (SNI); client certificates and their revocation; session tickets that every worker can read.
 * TLS 1.2 and 1.3. tls_files.h says what differs between the listeners.
 *
 * If several pairs for a name have different kinds of key, such as RSA and ECDSA, each client gets
 * one that it supports. If a client sends no name, or an unknown one, it gets the first pair, or a
 * pair of another kind that covers all names of the first.
 *
 * The parts: tls_pem.h reads files, tls_pair.h is a certificate with its key, tls_trust.h decides
 * which client certificates are accepted, tls_tickets.h lets sessions resume, and ends them.
 */
#ifndef ROSTERD_SERVER_TLS_TLS_H
#define ROSTERD_SERVER_TLS_TLS_H

#include <openssl/ssl.h>

#include "base/fault.h"
#include "server/tls/tls_files.h"

struct tls;

/**
 * Reads all files. Called before fork, so that the workers share the secret
 * of the tickets. An expired certificate or CRL, a key that does not fit, an encrypted key and a
 * file that cannot be read are faults. Never blocks on a file.
 * @param files is copied; what it points to must outlive the result. It has a certificate
 * @param before tickets of its sessions stay valid if the same clients are trusted; NULL: none
 * @param warning filled if something needs attention but works; else its text is empty
 * @return NULL: the fault names the option, the file and the reason
 */
struct tls *tls_load(const struct tls_files *files, const struct tls *before, struct fault *warning,
                     struct fault *fault);
void tls_free(struct tls *tls);
/** The context for new connections. It lives as long as `tls`. */
SSL_CTX *tls_context(struct tls *tls);
/** Forgets the secrets of past tickets. Every process calls it from time to time, also if it
 * accepts no connections, because each has its own copy. */
void tls_forget_old_secrets(struct tls *tls);

#endif
