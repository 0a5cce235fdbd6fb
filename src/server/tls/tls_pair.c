/* SPDX-License-Identifier: MIT */
#include "server/tls/tls_pair.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "server/tls/tls_fault.h"
#include "server/tls/tls_pem.h"

enum { PAIR_FILE_MAX = 1 << 20 }; /* bytes */

/* A file, and the option that names it. */
struct pair_file {
    const char *option, *path;
};

/* ---- the certificate ---- */

static bool check_validity(const X509 *certificate, struct pair_file file, struct fault *fault)
{
    const ASN1_TIME *from = X509_get0_notBefore(certificate), *to = X509_get0_notAfter(certificate);
    bool expired = X509_cmp_current_time(to) < 0;
    if (!expired && X509_cmp_current_time(from) <= 0)
        return true;
    char date[TLS_DATE];
    tls_format_date(expired ? to : from, date);
    return tls_fault_set(fault, file.option, file.path, "it %s %s",
                         expired ? "expired at" : "is not valid before", date);
}

/* The first certificate is the server's; the others are its chain. */
static bool add_certificate(struct tls_pair *pair, const struct tls_block *block)
{
    X509 *certificate = tls_block_certificate(block);
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

static bool read_chain(struct tls_pair *pair, struct tls_pem *pem, struct tls_block *block,
                       struct fault *fault)
{
    do {
        if (!tls_pem_next(pem, block, fault))
            return false;
        if (block->name != NULL && tls_block_is_certificate(block) && !add_certificate(pair, block))
            return tls_pem_refuse_block(pem, fault);
    } while (block->name != NULL);
    return pair->certificate != NULL || tls_pem_refuse(pem, fault, "there is no certificate in it");
}

static bool load_chain(struct tls_pair *pair, struct pair_file file, struct fault *fault)
{
    struct tls_pem pem;
    struct tls_block block = {.name = NULL};
    if (!tls_pem_open(&pem, file.option, file.path, PAIR_FILE_MAX, fault))
        return false;
    bool good =
        read_chain(pair, &pem, &block, fault) && check_validity(pair->certificate, file, fault);
    tls_pem_close(&pem, &block);
    return good;
}

/* ---- the key ---- */

static bool is_private_key(const struct tls_block *block)
{
    static const char end[] = "PRIVATE KEY";
    size_t len = strlen(block->name), tail = sizeof(end) - 1;
    return len >= tail && strcmp(block->name + len - tail, end) == 0;
}

/* PKCS#8 names its encryption in the first line, the older formats in a header. */
static bool is_encrypted(const struct tls_block *block)
{
    return strcmp(block->name, PEM_STRING_PKCS8) == 0 || strstr(block->header, "ENCRYPTED") != NULL;
}

static bool read_key(struct tls_pair *pair, struct tls_pem *pem, struct tls_block *block,
                     struct fault *fault)
{
    do { /* skips the certificate and the parameters of a curve */
        if (!tls_pem_next(pem, block, fault))
            return false;
    } while (block->name != NULL && !is_private_key(block));
    if (block->name == NULL)
        return tls_pem_refuse(pem, fault, "there is no private key in it");
    if (is_encrypted(block))
        return tls_pem_refuse(pem, fault,
                              "the key is encrypted, and the server never asks for a password");
    const unsigned char *data = block->data;
    pair->key = d2i_AutoPrivateKey(NULL, &data, block->len);
    return pair->key != NULL || tls_fault_set(fault, pem->option, pem->path, "it cannot be used");
}

static bool load_key(struct tls_pair *pair, struct pair_file file, const char *certificate,
                     struct fault *warning, struct fault *fault)
{
    struct tls_pem pem;
    struct tls_block block = {.name = NULL};
    if (!tls_pem_open(&pem, file.option, file.path, PAIR_FILE_MAX, fault))
        return false;
    bool good = read_key(pair, &pem, &block, fault);
    if (good && (pem.file.mode & S_IROTH) != 0)
        tls_warning_set(warning, file.option, file.path,
                        "every user of this machine may read it (mode %04o)",
                        (unsigned)pem.file.mode);
    tls_pem_close(&pem, &block);
    if (!good || X509_check_private_key(pair->certificate, pair->key) == 1)
        return good;
    ERR_clear_error();
    return tls_fault_set(fault, file.option, file.path, "it is not the key of %.300s", certificate);
}

/* ---- both ---- */

bool tls_pair_load(struct tls_pair *pair, const struct tls_files *files, size_t number,
                   struct fault *warning, struct fault *fault)
{
    const struct pair_file chain = {files->certificates_name, files->certificates->all[number]};
    const struct pair_file key = {files->keys_name, files->keys->all[number]};
    *pair = (struct tls_pair){.certificate = NULL};
    if (!load_chain(pair, chain, fault) || !load_key(pair, key, chain.path, warning, fault))
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
    return true; /* clients do not look for a server by other kinds of name */
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
