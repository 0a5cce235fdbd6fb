/* SPDX-License-Identifier: MIT */
#include "server/tls/tls_files.h"

#include <string.h>

#include "http2/http2.h"

struct tls_files tls_files_for_grpc(const struct options *options)
{
    return (struct tls_files){
        .certificates = &options->tls_certificates,
        .keys = &options->tls_keys,
        .lists = &options->tls_crls,
        .client_ca = options->tls_client_ca,
        .certificates_name = "tls-certificate",
        .keys_name = "tls-key",
        .client_ca_name = "tls-client-ca",
        .lists_name = "tls-crl",
        .prepare = http2_tls_prepare,
    };
}

/* A client that offers protocols must offer HTTP/1.1 (RFC 7301, section 3.2); one that offers none
 * means it. */
static int choose_http1(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                        const unsigned char *offered, unsigned len, void *data)
{
    static const char name[] = "http/1.1";
    (void)ssl;
    (void)data;
    for (unsigned at = 0; at < len; at += 1u + offered[at]) {
        if (offered[at] != sizeof(name) - 1 || memcmp(offered + at + 1, name, offered[at]) != 0)
            continue;
        *out = offered + at + 1;
        *out_len = offered[at];
        return SSL_TLSEXT_ERR_OK;
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static bool prepare_http1(SSL_CTX *ssl)
{
    SSL_CTX_set_options(ssl, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_CLEANSE_PLAINTEXT);
    SSL_CTX_clear_mode(ssl, SSL_MODE_AUTO_RETRY); /* one record an event */
    SSL_CTX_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_alpn_select_cb(ssl, choose_http1, NULL);
    if (SSL_CTX_get_verify_mode(ssl) != SSL_VERIFY_NONE)
        SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER, NULL);
    return SSL_CTX_set_num_tickets(ssl, 0) == 1 &&
           SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION) == 1 &&
           SSL_CTX_set_cipher_list(ssl, "ECDHE+AESGCM:ECDHE+CHACHA20") == 1;
}

struct tls_files tls_files_for_metrics(const struct options *options)
{
    return (struct tls_files){
        .certificates = &options->metrics_tls_certificates,
        .keys = &options->metrics_tls_keys,
        .lists = &options->metrics_tls_crls,
        .client_ca = options->metrics_tls_client_ca,
        .certificates_name = "metrics-tls-certificate",
        .keys_name = "metrics-tls-key",
        .client_ca_name = "metrics-tls-client-ca",
        .lists_name = "metrics-tls-crl",
        .prepare = prepare_http1,
    };
}
