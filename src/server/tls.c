/* SPDX-License-Identifier: MIT */
#include "server/tls.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "http2/http2.h"

enum { TICKET_SECONDS = 3600, SECRET_SIZE = 32, NAME_SIZE = 16 };

/* The keys of one hour. */
struct ticket_keys {
    uint64_t hour;
    uint8_t name[NAME_SIZE], cipher[32], mac[32];
};

struct tls {
    const struct options *options;
    SSL_CTX *contexts[OPTION_PATHS_MAX]; /* one for each pair; the first serves other names */
    size_t count;
    uint8_t secret[SECRET_SIZE]; /* of the hour after keys[0]'s */
    struct ticket_keys keys[2];  /* of now, of the hour before */
};

/* ---- tickets ---- */

static uint64_t this_hour(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now); /* the same in every process, and set by nobody */
    return (uint64_t)now.tv_sec / TICKET_SECONDS;
}

static void derive(const uint8_t secret[SECRET_SIZE], const char *label, uint8_t *out, size_t size)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned len = sizeof(digest);
    HMAC(EVP_sha256(), secret, SECRET_SIZE, (const uint8_t *)label, strlen(label), digest, &len);
    memcpy(out, digest, size);
    OPENSSL_cleanse(digest, sizeof(digest));
}

/* The next hour's keys, and a secret from which this one cannot be found. */
static void step(struct tls *tls)
{
    struct ticket_keys *keys = &tls->keys[0];
    tls->keys[1] = *keys;
    keys->hour++;
    derive(tls->secret, "name", keys->name, NAME_SIZE);
    derive(tls->secret, "cipher", keys->cipher, sizeof(keys->cipher));
    derive(tls->secret, "mac", keys->mac, sizeof(keys->mac));
    derive(tls->secret, "next", tls->secret, SECRET_SIZE);
}

void tls_forget_old_secrets(struct tls *tls)
{
    uint64_t hour = this_hour();
    while (tls->keys[0].hour < hour)
        step(tls);
}

static bool begin_tickets(struct tls *tls)
{
    if (RAND_priv_bytes(tls->secret, SECRET_SIZE) != 1)
        return false;
    tls->keys[0].hour = this_hour() - 2;
    step(tls);
    step(tls);
    return true;
}

static bool init_mac(EVP_MAC_CTX *mac, const struct ticket_keys *keys)
{
    char digest[] = "sha256";
    OSSL_PARAM params[] = {OSSL_PARAM_construct_octet_string(
                               OSSL_MAC_PARAM_KEY, (void *)(uintptr_t)keys->mac, sizeof(keys->mac)),
                           OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                           OSSL_PARAM_END};
    return EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* libssl's rules: 1 goes on, 2 goes on with a fresh ticket, 0 means a full handshake, -1 fails. */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac, int sealing)
{
    struct tls *tls = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    const EVP_CIPHER *aes = EVP_aes_256_cbc();
    tls_forget_old_secrets(tls);
    if (sealing) {
        const struct ticket_keys *keys = &tls->keys[0];
        if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(aes)) != 1)
            return -1;
        memcpy(name, keys->name, NAME_SIZE);
        return EVP_EncryptInit_ex(cipher, aes, NULL, keys->cipher, iv) == 1 && init_mac(mac, keys)
                   ? 1
                   : -1;
    }
    for (int i = 0; i < 2; i++) {
        const struct ticket_keys *keys = &tls->keys[i];
        if (CRYPTO_memcmp(name, keys->name, NAME_SIZE) != 0)
            continue;
        if (EVP_DecryptInit_ex(cipher, aes, NULL, keys->cipher, iv) != 1 || !init_mac(mac, keys))
            return -1;
        return i == 0 ? 1 : 2;
    }
    return 0;
}

/* ---- names ---- */

static int on_server_name(SSL *ssl, int *alert, void *data)
{
    struct tls *tls = data;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    (void)alert;
    if (name == NULL)
        return SSL_TLSEXT_ERR_OK;
    for (size_t i = 0; i < tls->count; i++) {
        X509 *certificate = SSL_CTX_get0_certificate(tls->contexts[i]);
        if (X509_check_host(certificate, name, 0, 0, NULL) == 1) {
            SSL_set_SSL_CTX(ssl, tls->contexts[i]);
            break;
        }
    }
    return SSL_TLSEXT_ERR_OK;
}

/* ---- reading the files ---- */

static bool fail(struct tls_report *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static bool fail(struct tls_report *report, const char *format, ...)
{
    char why[256];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(report->fault, sizeof(report->fault), format, args);
    va_end(args);
    unsigned long error = ERR_peek_error();
    if (error != 0 && (size_t)len < sizeof(report->fault)) {
        const char *reason = ERR_reason_error_string(error);
        ERR_error_string_n(error, why, sizeof(why));
        snprintf(report->fault + len, sizeof(report->fault) - (size_t)len, ": %s",
                 ERR_SYSTEM_ERROR(error) ? strerror(ERR_GET_REASON(error))
                 : reason != NULL        ? reason
                                         : why);
    }
    ERR_clear_error();
    return false;
}

static bool check_time(const X509 *certificate, const char *path, struct tls_report *report)
{
    const ASN1_TIME *from = X509_get0_notBefore(certificate), *to = X509_get0_notAfter(certificate);
    bool expired = X509_cmp_current_time(to) < 0;
    if (!expired && X509_cmp_current_time(from) <= 0)
        return true;
    struct tm tm;
    char text[64] = "";
    if (ASN1_TIME_to_tm(expired ? to : from, &tm) == 1)
        strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &tm);
    return fail(report, "tls-certificate: %.300s: it %s %s", path,
                expired ? "expired at" : "is not valid before", text);
}

static bool load_pair(SSL_CTX *ssl, const char *certificate, const char *key,
                      struct tls_report *report)
{
    struct stat st;
    if (SSL_CTX_use_certificate_chain_file(ssl, certificate) != 1)
        return fail(report, "tls-certificate: %.300s: it cannot be used", certificate);
    if (!check_time(SSL_CTX_get0_certificate(ssl), certificate, report))
        return false;
    if (stat(key, &st) == 0 && (st.st_mode & S_IROTH) != 0 && report->warning[0] == '\0')
        snprintf(report->warning, sizeof(report->warning),
                 "tls-key: %.300s: every user of this machine may read it (mode %04o)", key,
                 (unsigned)(st.st_mode & 07777));
    EVP_PKEY *of = X509_get0_pubkey(SSL_CTX_get0_certificate(ssl));
    if (SSL_CTX_use_PrivateKey_file(ssl, key, SSL_FILETYPE_PEM) == 1)
        return SSL_CTX_check_private_key(ssl) == 1 ||
               fail(report, "tls-key: %.300s: it is not the key of %.300s", key, certificate);
    bool mismatch = of != NULL && ERR_GET_LIB(ERR_peek_last_error()) == ERR_LIB_X509;
    if (mismatch) {
        ERR_clear_error();
        return fail(report, "tls-key: %.300s: it is not the key of %.300s", key, certificate);
    }
    return fail(report, "tls-key: %.300s: it cannot be used", key);
}

static bool load_authorities(SSL_CTX *ssl, const char *path, struct tls_report *report)
{
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(path);
    if (names == NULL || SSL_CTX_load_verify_file(ssl, path) != 1) {
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        return fail(report, "tls-client-ca: %.300s: it cannot be used", path);
    }
    SSL_CTX_set_client_CA_list(ssl, names);
    SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return true;
}

static SSL_CTX *make_context(struct tls *tls, size_t pair, struct tls_report *report)
{
    static const unsigned char session_context[] = "rosterd";
    const struct options *options = tls->options;
    SSL_CTX *ssl = SSL_CTX_new(TLS_server_method());
    ERR_clear_error();
    if (ssl == NULL || !http2_tls_prepare(ssl)) {
        fail(report, "TLS cannot be set up");
        SSL_CTX_free(ssl);
        return NULL;
    }
    SSL_CTX_set_app_data(ssl, tls);
    SSL_CTX_set_session_id_context(ssl, session_context, sizeof(session_context) - 1);
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF); /* tickets need no memory here */
    SSL_CTX_set_tlsext_ticket_key_evp_cb(ssl, on_ticket);
    SSL_CTX_set_tlsext_servername_callback(ssl, on_server_name);
    SSL_CTX_set_tlsext_servername_arg(ssl, tls);
    if (load_pair(ssl, options->tls_certificates.all[pair], options->tls_keys.all[pair], report) &&
        (options->tls_client_ca == NULL || load_authorities(ssl, options->tls_client_ca, report)))
        return ssl;
    SSL_CTX_free(ssl);
    return NULL;
}

static bool make_contexts(struct tls *tls, struct tls_report *report)
{
    *report = (struct tls_report){.fault = ""};
    for (; tls->count < tls->options->tls_certificates.count; tls->count++) {
        tls->contexts[tls->count] = make_context(tls, tls->count, report);
        if (tls->contexts[tls->count] == NULL)
            return false;
    }
    return true;
}

struct tls *tls_load(const struct options *options, const struct tls *before,
                     struct tls_report *report)
{
    struct tls *tls = calloc(1, sizeof(*tls));
    if (tls == NULL) {
        *report = (struct tls_report){.fault = "out of memory"};
        return NULL;
    }
    tls->options = options;
    if (before != NULL) {
        memcpy(tls->secret, before->secret, sizeof(tls->secret));
        memcpy(tls->keys, before->keys, sizeof(tls->keys));
    } else if (!begin_tickets(tls)) {
        fail(report, "no random numbers for TLS");
        tls_free(tls);
        return NULL;
    }
    if (make_contexts(tls, report))
        return tls;
    tls_free(tls);
    return NULL;
}

void tls_free(struct tls *tls)
{
    if (tls == NULL)
        return;
    for (size_t i = 0; i < tls->count; i++)
        SSL_CTX_free(tls->contexts[i]);
    OPENSSL_cleanse(tls, sizeof(*tls));
    free(tls);
}

SSL_CTX *tls_context(struct tls *tls)
{
    return tls->contexts[0];
}
