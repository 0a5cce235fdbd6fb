/* SPDX-License-Identifier: MIT */
/* The files of TLS: each kind of listener has options of its own that name them. */
#ifndef ROSTERD_SERVER_TLS_TLS_FILES_H
#define ROSTERD_SERVER_TLS_TLS_FILES_H

#include <openssl/ssl.h>
#include <stdbool.h>

#include "base/fault.h"
#include "server/config/options.h"

/** The values of a listener's options, and their names, for faults. */
struct tls_files {
    const struct option_paths *certificates, *keys, *lists; /* as many certificates as keys */
    const char *client_ca;                                  /* NULL: clients need no certificate */
    const char *certificates_name, *keys_name, *client_ca_name, *lists_name;
    /** Makes a context fit for the listener's protocol. Called last. @return false: no memory */
    bool (*prepare)(SSL_CTX *ssl);
};

/** For `listen`: HTTP/2; a client without a certificate is refused if client_ca is set.
 * @param options must outlive the result */
struct tls_files tls_files_for_grpc(const struct options *options);
/** For `metrics-listen`: HTTP/1.1, no sessions. A client without a certificate is accepted also if
 * client_ca is set, for the pages that need none. @param options must outlive the result */
struct tls_files tls_files_for_metrics(const struct options *options);

#endif
