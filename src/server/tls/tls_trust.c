/* SPDX-License-Identifier: MIT */
#include "server/tls/tls_trust.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

#include "server/tls/tls_pem.h"

/* Lists of authorities that revoke much have some 40 bytes for each certificate. */
enum { AUTHORITIES_MAX = 4 << 20, LIST_MAX = 64 << 20, NAME_SIZE = 128 };

static const char ca_option[] = "tls-client-ca", list_option[] = "tls-crl";

/* What is being read. */
struct reading {
    struct tls_trust *trust;
    STACK_OF(X509_CRL) * lists;
    EVP_MD_CTX *digest;
    struct tls_pem pem;
    struct tls_block block;
};

static bool fail_damaged(const struct reading *reading)
{
    return tls_fail(reading->pem.report, reading->pem.option, reading->pem.path,
                    "it cannot be used: block %zu is damaged", reading->pem.blocks);
}

static const char *name_text(const X509_NAME *name, char text[NAME_SIZE])
{
    X509_NAME_oneline(name, text, NAME_SIZE);
    return text;
}

static bool add_to_digest(struct reading *reading)
{
    int64_t len = reading->block.len; /* so that no two series of blocks read alike */
    return EVP_DigestUpdate(reading->digest, &len, sizeof(len)) == 1 &&
           EVP_DigestUpdate(reading->digest, reading->block.data, (size_t)len) == 1;
}

static int64_t seconds_of(const ASN1_TIME *time)
{
    struct tm tm;
    return ASN1_TIME_to_tm(time, &tm) == 1 ? timegm(&tm) : 0;
}

/* All blocks of a file. @return false, told */
static bool read_file(struct reading *reading, const char *option, const char *path, size_t max,
                      bool (*add)(struct reading *), struct tls_report *report)
{
    int got;
    bool good = true;
    if (!tls_pem_open(&reading->pem, option, path, max, report))
        return false;
    while (good && (got = tls_pem_next(&reading->pem, &reading->block)) != 0)
        good = got == 1 && add(reading) && (add_to_digest(reading) || fail_damaged(reading));
    if (good && reading->pem.blocks == 0)
        good = tls_fail(report, option, path, "it cannot be used: it is empty, or no PEM");
    good = good && tls_pem_check_tail(&reading->pem);
    tls_pem_close(&reading->pem, &reading->block);
    return good;
}

/* ---- authorities ---- */

static bool check_authority(struct reading *reading, X509 *certificate)
{
    char name[NAME_SIZE];
    const struct tls_pem *pem = &reading->pem;
    name_text(X509_get_subject_name(certificate), name);
    if (X509_check_ca(certificate) == 0)
        return tls_fail(pem->report, pem->option, pem->path,
                        "it cannot be used: %s is no authority's certificate", name);
    /* of several, one may well be past: its clients are refused, the others' are not */
    if (X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0)
        tls_warn(pem->report, pem->option, pem->path, "%s has expired", name);
    return true;
}

static bool add_authority(struct reading *reading)
{
    const struct tls_pem *pem = &reading->pem;
    const unsigned char *data = reading->block.data;
    if (!tls_block_is_certificate(&reading->block))
        return tls_fail(pem->report, pem->option, pem->path,
                        "it cannot be used: block %zu is no certificate, but '%.60s'", pem->blocks,
                        reading->block.name);
    X509 *certificate = strcmp(reading->block.name, PEM_STRING_X509_TRUSTED) == 0
                            ? d2i_X509_AUX(NULL, &data, reading->block.len)
                            : d2i_X509(NULL, &data, reading->block.len);
    if (certificate == NULL)
        return fail_damaged(reading);
    bool good = check_authority(reading, certificate);
    if (good && sk_X509_push(reading->trust->authorities, certificate) > 0)
        return true;
    X509_free(certificate);
    return good && fail_damaged(reading);
}

/* ---- revocation lists ---- */

static bool is_issuer(X509 *authority, X509_CRL *list)
{
    return X509_NAME_cmp(X509_get_subject_name(authority), X509_CRL_get_issuer(list)) == 0 &&
           X509_CRL_verify(list, X509_get0_pubkey(authority)) == 1;
}

static bool has_issuer(const struct tls_trust *trust, X509_CRL *list)
{
    bool found = false;
    for (int i = 0; i < sk_X509_num(trust->authorities) && !found; i++)
        found = is_issuer(sk_X509_value(trust->authorities, i), list);
    ERR_clear_error();
    return found;
}

static bool check_list(struct reading *reading, X509_CRL *list)
{
    char name[NAME_SIZE], text[64] = "";
    struct tm tm;
    const struct tls_pem *pem = &reading->pem;
    const ASN1_TIME *from = X509_CRL_get0_lastUpdate(list);
    const ASN1_TIME *until = X509_CRL_get0_nextUpdate(list); /* NULL: for ever */
    const char *what = NULL;
    name_text(X509_CRL_get_issuer(list), name);
    if (X509_CRL_get_ext_by_NID(list, NID_delta_crl, -1) >= 0)
        return tls_fail(pem->report, pem->option, pem->path,
                        "the list of %s is no whole one, but says what has changed", name);
    if (!has_issuer(reading->trust, list))
        return tls_fail(pem->report, pem->option, pem->path,
                        "the list of %s is of no authority in tls-client-ca", name);
    if (until != NULL && X509_cmp_current_time(until) <= 0)
        what = "expired at";
    else if (X509_cmp_current_time(from) > 0)
        what = "is not valid before";
    if (what == NULL)
        return true;
    if (ASN1_TIME_to_tm(what[0] == 'e' ? until : from, &tm) == 1)
        strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &tm);
    return tls_fail(pem->report, pem->option, pem->path, "the list of %s %s %s", name, what, text);
}

static bool add_list(struct reading *reading)
{
    const struct tls_pem *pem = &reading->pem;
    const unsigned char *data = reading->block.data;
    if (strcmp(reading->block.name, PEM_STRING_X509_CRL) != 0)
        return tls_fail(pem->report, pem->option, pem->path,
                        "it cannot be used: block %zu is no revocation list, but '%.60s'",
                        pem->blocks, reading->block.name);
    X509_CRL *list = d2i_X509_CRL(NULL, &data, reading->block.len);
    if (list == NULL)
        return fail_damaged(reading);
    bool good = check_list(reading, list);
    if (good && sk_X509_CRL_push(reading->lists, list) > 0)
        return true;
    X509_CRL_free(list);
    return good && fail_damaged(reading);
}

/* ---- judging ---- */

/* All that may be wrong with a list, not with the certificate. */
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

/* OpenSSL's own. It reads a list whole, for its signature, and would do so for every certificate
 * with an authority's name on it, before it has looked whether that authority signed it. */
static X509_STORE_CTX_check_revocation_fn look_up;

static int look_up_later(X509_STORE_CTX *verification)
{
    (void)verification;
    return 1;
}

/* OpenSSL wants a list of every issuer, or of the client's alone. Here those above are looked up
 * where there is a list of theirs. The one that the chain ends with is one of ours, and was looked
 * up when all was read; OpenSSL would take it for its own issuer. */
static bool is_needless(X509_STORE_CTX *verification)
{
    int error = X509_STORE_CTX_get_error(verification);
    int depth = X509_STORE_CTX_get_error_depth(verification);
    bool is_ours = depth == sk_X509_num(X509_STORE_CTX_get0_chain(verification)) - 1;
    return depth != 0 &&
           (error == X509_V_ERR_UNABLE_TO_GET_CRL || (is_ours && is_about_list(error)));
}

/* Called for each fault, and for each good certificate, the client's last. */
static int on_verify(int good, X509_STORE_CTX *verification)
{
    if (good)
        return X509_STORE_CTX_get_error_depth(verification) != 0 || look_up(verification) == 1;
    if (!is_needless(verification))
        return 0;
    X509_STORE_CTX_set_error(verification, X509_V_OK);
    return 1;
}

static bool find_look_up(void)
{
    X509_STORE *plain = X509_STORE_new();
    X509_STORE_CTX *verification = X509_STORE_CTX_new();
    if (plain != NULL && verification != NULL &&
        X509_STORE_CTX_init(verification, plain, NULL, NULL) == 1)
        look_up = X509_STORE_CTX_get_check_revocation(verification);
    X509_STORE_CTX_free(verification);
    X509_STORE_free(plain);
    return look_up != NULL;
}

/* By whom, among the lists; NULL: nobody */
static X509_CRL *revoked_by(const struct reading *reading, X509 *authority)
{
    X509_REVOKED *entry;
    for (int i = 0; i < sk_X509_CRL_num(reading->lists); i++) {
        X509_CRL *list = sk_X509_CRL_value(reading->lists, i);
        if (X509_NAME_cmp(X509_CRL_get_issuer(list), X509_get_issuer_name(authority)) == 0 &&
            X509_CRL_get0_by_cert(list, &entry, authority) == 1)
            return list;
    }
    return NULL;
}

static bool fill_store(const struct reading *reading, const char *path, struct tls_report *report)
{
    char name[NAME_SIZE], by[NAME_SIZE];
    struct tls_trust *trust = reading->trust;
    for (int i = 0; i < sk_X509_num(trust->authorities); i++) {
        X509 *authority = sk_X509_value(trust->authorities, i);
        X509_CRL *list = revoked_by(reading, authority);
        if (list != NULL)
            tls_warn(report, ca_option, path, "%s is revoked by %s: its clients are refused",
                     name_text(X509_get_subject_name(authority), name),
                     name_text(X509_CRL_get_issuer(list), by));
        else if (X509_STORE_add_cert(trust->store, authority) != 1)
            return false;
    }
    for (int i = 0; i < sk_X509_CRL_num(reading->lists); i++) {
        X509_CRL *list = sk_X509_CRL_value(reading->lists, i);
        const ASN1_TIME *next = X509_CRL_get0_nextUpdate(list);
        int64_t until = next == NULL ? INT64_MAX : seconds_of(next);
        trust->lists_until = until < trust->lists_until ? until : trust->lists_until;
        X509_REVOKED *entry;
        if (X509_STORE_add_crl(trust->store, list) != 1)
            return false;
        /* sorts it: here once, not in each worker while its first client waits */
        (void)X509_CRL_get0_by_serial(list, &entry,
                                      X509_get_serialNumber(sk_X509_value(trust->authorities, 0)));
    }
    return true;
}

/* ---- both ---- */

static bool read_files(struct reading *reading, const struct options *options,
                       struct tls_report *report)
{
    struct tls_trust *trust = reading->trust;
    if (!read_file(reading, ca_option, options->tls_client_ca, AUTHORITIES_MAX, add_authority,
                   report))
        return false;
    for (size_t i = 0; i < options->tls_crls.count; i++)
        if (!read_file(reading, list_option, options->tls_crls.all[i], LIST_MAX, add_list, report))
            return false;
    if (!fill_store(reading, options->tls_client_ca, report))
        return false;
    unsigned long flags = X509_V_FLAG_PARTIAL_CHAIN;
    if (options->tls_crls.count != 0) {
        flags |= X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL;
        if (!find_look_up())
            return false;
        X509_STORE_set_check_revocation(trust->store, look_up_later);
        X509_STORE_set_verify_cb(trust->store, on_verify);
    }
    return X509_STORE_set_flags(trust->store, flags) == 1;
}

static bool load(struct reading *reading, const struct options *options, struct tls_report *report)
{
    /* begins with what the files cannot hold: whether they are asked for at all */
    uint8_t asked = options->tls_client_ca != NULL;
    struct tls_trust *trust = reading->trust;
    if (reading->digest == NULL || EVP_DigestInit_ex(reading->digest, EVP_sha256(), NULL) != 1 ||
        EVP_DigestUpdate(reading->digest, &asked, sizeof(asked)) != 1)
        return false;
    if (asked) {
        trust->store = X509_STORE_new();
        trust->authorities = sk_X509_new_null();
        reading->lists = sk_X509_CRL_new_null();
        if (trust->store == NULL || trust->authorities == NULL || reading->lists == NULL ||
            !read_files(reading, options, report))
            return false;
    }
    return EVP_DigestFinal_ex(reading->digest, trust->digest, NULL) == 1;
}

bool tls_trust_load(struct tls_trust *trust, const struct options *options,
                    struct tls_report *report)
{
    struct reading reading = {.trust = trust, .digest = EVP_MD_CTX_new()};
    *trust = (struct tls_trust){.lists_until = INT64_MAX};
    bool good = load(&reading, options, report);
    if (!good && report->fault[0] == '\0')
        tls_fail(report, ca_option, options->tls_client_ca != NULL ? options->tls_client_ca : "-",
                 "TLS cannot be set up");
    EVP_MD_CTX_free(reading.digest);
    sk_X509_CRL_pop_free(reading.lists, X509_CRL_free);
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
    /* a ticket of a time when others were trusted belongs to another context */
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
    for (int i = 0; i < sk_X509_num(chain); i++) { /* of NULL: -1 */
        int64_t end = seconds_of(X509_get0_notAfter(sk_X509_value(chain, i)));
        if (end < until)
            until = end;
    }
    return until;
}
