/* SPDX-License-Identifier: MIT */
#include "server/tls/tls_trust.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/param.h>
#include <time.h>

#include "server/tls/tls_fault.h"
#include "server/tls/tls_pem.h"

/* Bytes of a file. A CRL has some 40 bytes for each certificate that it revokes. */
enum { AUTHORITIES_MAX = 4 << 20, LIST_MAX = 64 << 20 };
enum { NAME_SIZE = 128 };

/* The state while the files are read. */
struct trust_reader {
    struct tls_trust *trust;
    const struct tls_files *files;
    STACK_OF(X509_CRL) * lists;
    EVP_MD_CTX *digest;
    struct tls_pem pem;     /* the file */
    struct tls_block block; /* of the file */
    struct fault *warning, *fault;
};

static const char *name_text(const X509_NAME *name, char text[NAME_SIZE])
{
    X509_NAME_oneline(name, text, NAME_SIZE);
    return text;
}

static bool add_to_digest(struct trust_reader *reader)
{
    int64_t len = reader->block.len; /* so that no two sequences of blocks have the same digest */
    return EVP_DigestUpdate(reader->digest, &len, sizeof(len)) == 1 &&
           EVP_DigestUpdate(reader->digest, reader->block.data, (size_t)len) == 1;
}

/* Seconds since the epoch; 0: the date cannot be read. */
static int64_t seconds_of(const ASN1_TIME *time)
{
    struct tm tm;
    return ASN1_TIME_to_tm(time, &tm) == 1 ? timegm(&tm) : 0;
}

/* Passes each block of a file to `add`. */
static bool read_pem_file(struct trust_reader *reader, const char *option, const char *path,
                          size_t max, bool (*add)(struct trust_reader *))
{
    struct tls_pem *pem = &reader->pem;
    struct tls_block *block = &reader->block;
    if (!tls_pem_open(pem, option, path, max, reader->fault))
        return false;
    bool good = tls_pem_next(pem, block, reader->fault);
    while (good && block->name != NULL)
        good = add(reader) && (add_to_digest(reader) || tls_pem_refuse_block(pem, reader->fault)) &&
               tls_pem_next(pem, block, reader->fault);
    if (good && pem->blocks == 0)
        good = tls_pem_refuse(pem, reader->fault, "it is empty, or not PEM");
    good = good && tls_pem_check_tail(pem, reader->fault);
    tls_pem_close(pem, block);
    return good;
}

/* ---- authorities ---- */

static bool check_authority(struct trust_reader *reader, X509 *certificate)
{
    char name[NAME_SIZE];
    const struct tls_pem *pem = &reader->pem;
    name_text(X509_get_subject_name(certificate), name);
    if (X509_check_ca(certificate) == 0)
        return tls_pem_refuse(pem, reader->fault, "%s is not the certificate of a CA", name);
    /* not a fault, because the clients of the other CAs are accepted */
    if (X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0)
        tls_warning_set(reader->warning, pem->option, pem->path, "%s has expired", name);
    return true;
}

static bool add_authority(struct trust_reader *reader)
{
    const struct tls_pem *pem = &reader->pem;
    if (!tls_block_is_certificate(&reader->block))
        return tls_pem_refuse(pem, reader->fault, "block %zu is not a certificate, but '%.60s'",
                              pem->blocks, reader->block.name);
    X509 *certificate = tls_block_certificate(&reader->block);
    if (certificate == NULL)
        return tls_pem_refuse_block(pem, reader->fault);
    bool good = check_authority(reader, certificate);
    if (good && sk_X509_push(reader->trust->authorities, certificate) > 0)
        return true;
    X509_free(certificate);
    return good && tls_pem_refuse_block(pem, reader->fault);
}

/* ---- revocation lists ---- */

static bool is_issuer(X509 *authority, X509_CRL *list)
{
    return X509_NAME_cmp(X509_get_subject_name(authority), X509_CRL_get_issuer(list)) == 0 &&
           X509_CRL_verify(list, X509_get0_pubkey(authority)) == 1;
}

/* Whether one of our CAs has signed the list. */
static bool has_issuer(const struct tls_trust *trust, X509_CRL *list)
{
    bool found = false;
    for (int i = 0; i < sk_X509_num(trust->authorities) && !found; i++)
        found = is_issuer(sk_X509_value(trust->authorities, i), list);
    ERR_clear_error();
    return found;
}

static bool check_crl_validity(const struct trust_reader *reader, const X509_CRL *list,
                               const char *name)
{
    const ASN1_TIME *from = X509_CRL_get0_lastUpdate(list);
    const ASN1_TIME *until = X509_CRL_get0_nextUpdate(list); /* NULL: it never expires */
    bool expired = until != NULL && X509_cmp_current_time(until) <= 0;
    if (!expired && X509_cmp_current_time(from) <= 0)
        return true;
    char date[TLS_DATE];
    tls_format_date(expired ? until : from, date);
    return tls_fault_set(reader->fault, reader->pem.option, reader->pem.path,
                         "the list of %s %s %s", name,
                         expired ? "expired at" : "is not valid before", date);
}

static bool check_crl(const struct trust_reader *reader, X509_CRL *list)
{
    char name[NAME_SIZE];
    const struct tls_pem *pem = &reader->pem;
    name_text(X509_CRL_get_issuer(list), name);
    if (X509_CRL_get_ext_by_NID(list, NID_delta_crl, -1) >= 0)
        return tls_fault_set(reader->fault, pem->option, pem->path,
                             "the list of %s is a delta, not a complete list", name);
    if (!has_issuer(reader->trust, list))
        return tls_fault_set(reader->fault, pem->option, pem->path,
                             "the list of %s is of no CA in %s", name,
                             reader->files->client_ca_name);
    return check_crl_validity(reader, list, name);
}

static bool add_crl(struct trust_reader *reader)
{
    const struct tls_pem *pem = &reader->pem;
    const unsigned char *data = reader->block.data;
    if (strcmp(reader->block.name, PEM_STRING_X509_CRL) != 0)
        return tls_pem_refuse(pem, reader->fault, "block %zu is not a revocation list, but '%.60s'",
                              pem->blocks, reader->block.name);
    X509_CRL *list = d2i_X509_CRL(NULL, &data, reader->block.len);
    if (list == NULL)
        return tls_pem_refuse_block(pem, reader->fault);
    bool good = check_crl(reader, list);
    if (good && sk_X509_CRL_push(reader->lists, list) > 0)
        return true;
    X509_CRL_free(list);
    return good && tls_pem_refuse_block(pem, reader->fault);
}

/* ---- verification ---- */

/* Whether the error is about a list, not about the certificate. */
static bool is_about_list(int error)
{
    switch (error) {
    case X509_V_ERR_UNABLE_TO_GET_CRL:
    case X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER:
    case X509_V_ERR_UNABLE_TO_DECRYPT_CRL_SIGNATURE:
    case X509_V_ERR_CRL_SIGNATURE_FAILURE:
    case X509_V_ERR_CRL_NOT_YET_VALID:
    case X509_V_ERR_CRL_HAS_EXPIRED:
    case X509_V_ERR_CRL_PATH_VALIDATION_ERROR:
    case X509_V_ERR_DIFFERENT_CRL_SCOPE:
    case X509_V_ERR_KEYUSAGE_NO_CRL_SIGN:
        return true;
    default:
        return false;
    }
}

/* OpenSSL's own check of revocation. It reads the whole list to verify its signature, and runs
 * before OpenSSL has verified that the CA signed the certificate: for any certificate that merely
 * names a CA. on_verify() calls it later, when the signatures are known to be good. */
static X509_STORE_CTX_check_revocation_fn check_revocation;

static int check_revocation_later(X509_STORE_CTX *verification)
{
    (void)verification;
    return 1;
}

/* OpenSSL demands a list of every issuer in the chain, or checks the client's certificate alone.
 * This server checks the CAs above it if their list is loaded. The chain ends with one of our CAs,
 * which add_authorities_to_store() has checked; OpenSSL would take that CA for its own issuer. */
static bool is_tolerable(X509_STORE_CTX *verification)
{
    int error = X509_STORE_CTX_get_error(verification);
    int depth = X509_STORE_CTX_get_error_depth(verification);
    bool is_ours = depth == sk_X509_num(X509_STORE_CTX_get0_chain(verification)) - 1;
    return depth != 0 &&
           (error == X509_V_ERR_UNABLE_TO_GET_CRL || (is_ours && is_about_list(error)));
}

/* Called by OpenSSL for each error, and for each good certificate; the client's comes last. */
static int on_verify(int good, X509_STORE_CTX *verification)
{
    if (good)
        return X509_STORE_CTX_get_error_depth(verification) != 0 ||
               check_revocation(verification) == 1;
    if (!is_tolerable(verification))
        return 0;
    X509_STORE_CTX_set_error(verification, X509_V_OK);
    return 1;
}

/* @return false: no memory */
static bool find_check_revocation(void)
{
    X509_STORE *plain = X509_STORE_new();
    X509_STORE_CTX *verification = X509_STORE_CTX_new();
    if (plain != NULL && verification != NULL &&
        X509_STORE_CTX_init(verification, plain, NULL, NULL) == 1)
        check_revocation = X509_STORE_CTX_get_check_revocation(verification);
    X509_STORE_CTX_free(verification);
    X509_STORE_free(plain);
    return check_revocation != NULL;
}

/* The list that revokes the CA, or NULL. */
static X509_CRL *find_revoking_list(const struct trust_reader *reader, X509 *authority)
{
    X509_REVOKED *entry;
    for (int i = 0; i < sk_X509_CRL_num(reader->lists); i++) {
        X509_CRL *list = sk_X509_CRL_value(reader->lists, i);
        if (X509_NAME_cmp(X509_CRL_get_issuer(list), X509_get_issuer_name(authority)) == 0 &&
            X509_CRL_get0_by_cert(list, &entry, authority) == 1)
            return list;
    }
    return NULL;
}

/* Adds the CAs that are not revoked. @return false: no memory */
static bool add_authorities_to_store(const struct trust_reader *reader)
{
    char name[NAME_SIZE], by[NAME_SIZE];
    const struct tls_trust *trust = reader->trust;
    for (int i = 0; i < sk_X509_num(trust->authorities); i++) {
        X509 *authority = sk_X509_value(trust->authorities, i);
        X509_CRL *list = find_revoking_list(reader, authority);
        if (list != NULL)
            tls_warning_set(reader->warning, reader->files->client_ca_name,
                            reader->files->client_ca,
                            "%s is revoked by %s: its clients are refused",
                            name_text(X509_get_subject_name(authority), name),
                            name_text(X509_CRL_get_issuer(list), by));
        else if (X509_STORE_add_cert(trust->store, authority) != 1)
            return false;
    }
    return true;
}

/* @return false: no memory */
static bool add_lists_to_store(const struct trust_reader *reader)
{
    struct tls_trust *trust = reader->trust;
    for (int i = 0; i < sk_X509_CRL_num(reader->lists); i++) {
        X509_CRL *list = sk_X509_CRL_value(reader->lists, i);
        const ASN1_TIME *next = X509_CRL_get0_nextUpdate(list);
        if (next != NULL) {
            int64_t until = seconds_of(next);
            trust->lists_until = MIN(trust->lists_until, until);
        }
        if (X509_STORE_add_crl(trust->store, list) != 1)
            return false;
        /* OpenSSL sorts a list at the first lookup: here, once, not in each worker while its first
         * client waits */
        X509_REVOKED *entry;
        (void)X509_CRL_get0_by_serial(list, &entry,
                                      X509_get_serialNumber(sk_X509_value(trust->authorities, 0)));
    }
    return true;
}

/* ---- all of it ---- */

/* Fills the fault, unless only OpenSSL knows the reason. */
static bool read_trust_files(struct trust_reader *reader)
{
    struct tls_trust *trust = reader->trust;
    const struct tls_files *files = reader->files;
    const struct option_paths *crls = files->lists;
    bool good = read_pem_file(reader, files->client_ca_name, files->client_ca, AUTHORITIES_MAX,
                              add_authority);
    for (size_t i = 0; i < crls->count && good; i++)
        good = read_pem_file(reader, files->lists_name, crls->all[i], LIST_MAX, add_crl);
    if (!good || !add_authorities_to_store(reader) || !add_lists_to_store(reader))
        return false;
    unsigned long flags = X509_V_FLAG_PARTIAL_CHAIN;
    if (crls->count != 0) {
        flags |= X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL;
        if (!find_check_revocation())
            return false;
        X509_STORE_set_check_revocation(trust->store, check_revocation_later);
        X509_STORE_set_verify_cb(trust->store, on_verify);
    }
    return X509_STORE_set_flags(trust->store, flags) == 1;
}

/* Fills the fault, unless only OpenSSL knows the reason. */
static bool load_trust(struct trust_reader *reader)
{
    /* the digest begins with what no file says: whether clients need a certificate */
    uint8_t asked = reader->files->client_ca != NULL;
    struct tls_trust *trust = reader->trust;
    if (reader->digest == NULL || EVP_DigestInit_ex(reader->digest, EVP_sha256(), NULL) != 1 ||
        EVP_DigestUpdate(reader->digest, &asked, sizeof(asked)) != 1)
        return false;
    if (asked) {
        trust->store = X509_STORE_new();
        trust->authorities = sk_X509_new_null();
        reader->lists = sk_X509_CRL_new_null();
        if (trust->store == NULL || trust->authorities == NULL || reader->lists == NULL ||
            !read_trust_files(reader))
            return false;
    }
    return EVP_DigestFinal_ex(reader->digest, trust->digest, NULL) == 1;
}

bool tls_trust_load(struct tls_trust *trust, const struct tls_files *files, struct fault *warning,
                    struct fault *fault)
{
    struct trust_reader reader = {.trust = trust,
                                  .files = files,
                                  .digest = EVP_MD_CTX_new(),
                                  .warning = warning,
                                  .fault = fault};
    *trust = (struct tls_trust){.lists_until = INT64_MAX};
    fault->text[0] = '\0';
    bool good = load_trust(&reader);
    if (!good && fault->text[0] == '\0')
        tls_fault_set(fault, files->client_ca_name,
                      files->client_ca != NULL ? files->client_ca : "-", "TLS cannot be set up");
    EVP_MD_CTX_free(reader.digest);
    sk_X509_CRL_pop_free(reader.lists, X509_CRL_free);
    return good;
}

void tls_trust_free(struct tls_trust *trust)
{
    X509_STORE_free(trust->store);
    sk_X509_pop_free(trust->authorities, X509_free);
    *trust = (struct tls_trust){.store = NULL};
}

bool tls_trust_apply(const struct tls_trust *trust, SSL_CTX *ssl)
{
    /* a ticket from before a change of trust belongs to another session id context */
    if (SSL_CTX_set_session_id_context(ssl, trust->digest, sizeof(trust->digest)) != 1)
        return false;
    if (trust->store == NULL)
        return true;
    for (int i = 0; i < sk_X509_num(trust->authorities); i++)
        if (SSL_CTX_add_client_CA(ssl, sk_X509_value(trust->authorities, i)) != 1)
            return false;
    SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return SSL_CTX_set1_verify_cert_store(ssl, trust->store) == 1;
}

int64_t tls_trust_until(const struct tls_trust *trust, const SSL *ssl)
{
    int64_t until = trust->lists_until;
    STACK_OF(X509) *chain = SSL_get0_verified_chain(ssl);
    for (int i = 0; i < sk_X509_num(chain); i++) { /* -1 entries if chain is NULL */
        int64_t end = seconds_of(X509_get0_notAfter(sk_X509_value(chain, i)));
        until = MIN(until, end);
    }
    return until;
}
