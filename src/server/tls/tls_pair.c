/* SPDX-License-Identifier: MIT */
#include "server/tls/tls_pair.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "server/tls/tls_pem.h"

enum { PAIR_FILE_MAX = 1 << 20 };

static const char certificate_option[] = "tls-certificate", key_option[] = "tls-key";

/* ---- the certificate ---- */

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
    return tls_fail(report, certificate_option, path, "it %s %s",
                    expired ? "expired at" : "is not valid before", text);
}

/* The first one is the server's, those that follow lead to an authority. */
static bool add_certificate(struct tls_pair *pair, const struct tls_block *block)
{
    const unsigned char *data = block->data;
    X509 *certificate = strcmp(block->name, PEM_STRING_X509_TRUSTED) == 0
                            ? d2i_X509_AUX(NULL, &data, block->len)
                            : d2i_X509(NULL, &data, block->len);
    if (certificate == NULL)
        return false;
    if (pair->certificate == NULL) {
        pair->certificate = certificate;
        return true;
    }
    if (pair->chain == NULL)
        pair->chain = sk_X509_new_null();
    if (pair->chain != NULL && sk_X509_push(pair->chain, certificate) > 0)
        return true;
    X509_free(certificate);
    return false;
}

static bool read_chain(struct tls_pair *pair, struct tls_pem *pem, struct tls_block *block)
{
    int got;
    while ((got = tls_pem_next(pem, block)) == 1)
        if (tls_block_is_certificate(block) && !add_certificate(pair, block))
            return tls_fail(pem->report, pem->option, pem->path,
                            "it cannot be used: block %zu is damaged", pem->blocks);
    if (got == 0 && pair->certificate == NULL)
        return tls_fail(pem->report, pem->option, pem->path,
                        "it cannot be used: there is no certificate in it");
    return got == 0;
}

static bool load_chain(struct tls_pair *pair, const char *path, struct tls_report *report)
{
    struct tls_pem pem;
    struct tls_block block = {.name = NULL};
    if (!tls_pem_open(&pem, certificate_option, path, PAIR_FILE_MAX, report))
        return false;
    bool good = read_chain(pair, &pem, &block) && check_time(pair->certificate, path, report);
    tls_pem_close(&pem, &block);
    return good;
}

/* ---- the key ---- */

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), tail = strlen(end);
    return len >= tail && strcmp(text + len - tail, end) == 0;
}

/* PKCS#8 names its encryption in the first line, the older formats in a header. */
static bool is_encrypted(const struct tls_block *block)
{
    return strcmp(block->name, PEM_STRING_PKCS8) == 0 || strstr(block->header, "ENCRYPTED") != NULL;
}

static bool read_key(struct tls_pair *pair, struct tls_pem *pem, struct tls_block *block)
{
    int got;
    while ((got = tls_pem_next(pem, block)) == 1 && !ends_with(block->name, "PRIVATE KEY"))
        continue; /* the certificate, or a curve's parameters */
    if (got < 0)
        return false;
    if (got == 0)
        return tls_fail(pem->report, pem->option, pem->path,
                        "it cannot be used: there is no private key in it");
    if (is_encrypted(block))
        return tls_fail(pem->report, pem->option, pem->path,
                        "it cannot be used: the key is encrypted, and nobody is asked for its "
                        "password");
    const unsigned char *data = block->data;
    pair->key = d2i_AutoPrivateKey(NULL, &data, block->len);
    return pair->key != NULL || tls_fail(pem->report, pem->option, pem->path, "it cannot be used");
}

static bool load_key(struct tls_pair *pair, const char *path, const char *certificate,
                     struct tls_report *report)
{
    struct tls_pem pem;
    struct tls_block block = {.name = NULL};
    if (!tls_pem_open(&pem, key_option, path, PAIR_FILE_MAX, report))
        return false;
    bool good = read_key(pair, &pem, &block);
    if (good && (pem.file.mode & S_IROTH) != 0)
        tls_warn(report, key_option, path, "every user of this machine may read it (mode %04o)",
                 (unsigned)pem.file.mode);
    tls_pem_close(&pem, &block);
    if (!good || X509_check_private_key(pair->certificate, pair->key) == 1)
        return good;
    ERR_clear_error();
    return tls_fail(report, key_option, path, "it is not the key of %.300s", certificate);
}

/* ---- both ---- */

bool tls_pair_load(struct tls_pair *pair, const char *certificate, const char *key,
                   struct tls_report *report)
{
    *pair = (struct tls_pair){.certificate = NULL};
    if (!load_chain(pair, certificate, report) || !load_key(pair, key, certificate, report))
        return false;
    pair->kind = EVP_PKEY_get_base_id(pair->key);
    return true;
}

void tls_pair_free(struct tls_pair *pair)
{
    X509_free(pair->certificate);
    sk_X509_pop_free(pair->chain, X509_free);
    EVP_PKEY_free(pair->key);
    *pair = (struct tls_pair){.certificate = NULL};
}

/* ---- names ---- */

bool tls_pair_has_name(const struct tls_pair *pair, const char *name)
{
    return X509_check_host(pair->certificate, name, 0, 0, NULL) == 1;
}

static bool has_general_name(const struct tls_pair *pair, const GENERAL_NAME *name)
{
    int type;
    const ASN1_STRING *value = GENERAL_NAME_get0_value(name, &type);
    const unsigned char *data = value == NULL ? NULL : ASN1_STRING_get0_data(value);
    if (type == GEN_DNS)
        return X509_check_host(pair->certificate, (const char *)data,
                               (size_t)ASN1_STRING_length(value), 0, NULL) == 1;
    if (type == GEN_IPADD)
        return X509_check_ip(pair->certificate, data, (size_t)ASN1_STRING_length(value), 0) == 1;
    return true; /* nobody looks for a server by it */
}

bool tls_pair_covers(const struct tls_pair *pair, const struct tls_pair *other)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(other->certificate, NID_subject_alt_name, NULL, NULL);
    if (names == NULL)
        return X509_NAME_cmp(X509_get_subject_name(pair->certificate),
                             X509_get_subject_name(other->certificate)) == 0;
    bool all = true;
    for (int i = 0; i < sk_GENERAL_NAME_num(names) && all; i++)
        all = has_general_name(pair, sk_GENERAL_NAME_value(names, i));
    GENERAL_NAMES_free(names);
    return all;
}
