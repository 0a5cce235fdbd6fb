/* SPDX-License-Identifier: MIT */
/* The server's certificate with its chain and key, and the names that the certificate covers. */
#ifndef ROSTERD_SERVER_TLS_TLS_PAIR_H
#define ROSTERD_SERVER_TLS_TLS_PAIR_H

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdbool.h>

#include "base/fault.h"
#include "server/tls/tls_files.h"

struct tls_pair {
    X509 *certificate;
    STACK_OF(X509) * chain; /* the certificates that follow it in the file; NULL: none */
    EVP_PKEY *key;
    int kind; /* of the key: EVP_PKEY_RSA, EVP_PKEY_EC, ... */
};

/**
 * Reads a certificate that is valid now, and its key. Both files may contain other blocks.
 * @param number the place of both in the lists of `files`
 * @param pair is overwritten; the caller calls tls_pair_free(), also after a failure
 * @param warning filled if other users may read the key
 */
bool tls_pair_load(struct tls_pair *pair, const struct tls_files *files, size_t number,
                   struct fault *warning, struct fault *fault);
void tls_pair_free(struct tls_pair *pair);

bool tls_pair_has_name(const struct tls_pair *pair, const char *name);
/** Whether the certificate covers every name and address that the certificate of `other` covers. */
bool tls_pair_covers(const struct tls_pair *pair, const struct tls_pair *other);

#endif
