/* SPDX-License-Identifier: MIT */
/* A server's certificate, its chain and its key; which names it is for. */
#ifndef ROSTERD_SERVER_TLS_TLS_PAIR_H
#define ROSTERD_SERVER_TLS_TLS_PAIR_H

#include "server/tls/tls.h"

struct tls_pair {
    X509 *certificate;
    STACK_OF(X509) * chain; /* without it */
    EVP_PKEY *key;
    int kind; /* of key: EVP_PKEY_RSA, EVP_PKEY_EC, ... */
};

/** A certificate that is valid now, and its key. Both files may hold other blocks, too.
 * @return false, told; there is something to free in either case */
bool tls_pair_load(struct tls_pair *pair, const char *certificate, const char *key,
                   struct tls_report *report);
void tls_pair_free(struct tls_pair *pair);

bool tls_pair_has_name(const struct tls_pair *pair, const char *name);
/** Whether it is for all the names and addresses that `other` is for. */
bool tls_pair_covers(const struct tls_pair *pair, const struct tls_pair *other);

#endif
