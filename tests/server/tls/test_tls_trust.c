/* SPDX-License-Identifier: MIT */
/* Which client certificates are accepted, and when CRLs are consulted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/err.h>

#include "server/tls/tls_trust.h"
#include "tests/server/tls/make_certificate.h"

enum { CLIENT = 7, REVOKED = 8 };

static char folder[] = "/tmp/rosterd-test-trust-XXXXXX", ca_path[64], list_path[64];
static struct options options = {.tls_client_ca = ca_path};
static EVP_PKEY *key, *other_key;
static X509 *authority;

/* Writes the CA's CRL, which names REVOKED. */
static void write_list(void)
{
    X509_CRL *list = X509_CRL_new();
    X509_REVOKED *entry = X509_REVOKED_new();
    ASN1_INTEGER *serial = ASN1_INTEGER_new();
    ASN1_TIME *time = X509_gmtime_adj(NULL, -60);
    X509_CRL_set_version(list, X509_CRL_VERSION_2);
    X509_CRL_set_issuer_name(list, X509_get_subject_name(authority));
    X509_CRL_set1_lastUpdate(list, time);
    ASN1_INTEGER_set(serial, REVOKED);
    X509_REVOKED_set_serialNumber(entry, serial);
    X509_REVOKED_set_revocationDate(entry, time);
    X509_CRL_add0_revoked(list, entry);
    X509_gmtime_adj(time, 3600);
    X509_CRL_set1_nextUpdate(list, time);
    assert_true(X509_CRL_sign(list, key, EVP_sha256()) > 0);
    FILE *file = fopen(list_path, "w");
    assert_int_equal(PEM_write_X509_CRL(file, list), 1);
    fclose(file);
    ASN1_TIME_free(time);
    ASN1_INTEGER_free(serial);
    X509_CRL_free(list);
}

static int make_files(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(ca_path, sizeof(ca_path), "%s/ca.pem", folder);
    snprintf(list_path, sizeof(list_path), "%s/list.pem", folder);
    key = EVP_EC_gen("P-256");
    other_key = EVP_EC_gen("P-256");
    const struct certificate_request ca = {
        .name = "ca", .serial = 1, .key = key, .seconds = 3600, .is_ca = true};
    authority = make_certificate(&ca);
    write_certificate(ca_path, authority);
    write_list();
    return 0;
}

static int remove_files(void **state)
{
    (void)state;
    X509_free(authority);
    EVP_PKEY_free(key);
    EVP_PKEY_free(other_key);
    unlink(ca_path);
    unlink(list_path);
    return rmdir(folder);
}

static bool trust_of(struct tls_trust *trust, const struct options *of)
{
    struct fault warning = {.text = ""}, fault;
    const struct tls_files files = tls_files_for_grpc(of);
    return tls_trust_load(trust, &files, &warning, &fault);
}

/* Verifies a client certificate with this serial number that `signer` has signed.
 * @return an X509_V_* code */
static int verify_client(long serial, EVP_PKEY *signer)
{
    struct tls_trust trust;
    assert_true(trust_of(&trust, &options));
    const struct certificate_request request = {.name = "client",
                                                .serial = serial,
                                                .key = other_key,
                                                .issuer = authority,
                                                .issuer_key = signer,
                                                .seconds = 3600};
    X509 *certificate = make_certificate(&request);
    X509_STORE_CTX *verification = X509_STORE_CTX_new();
    assert_int_equal(X509_STORE_CTX_init(verification, trust.store, certificate, NULL), 1);
    int good = X509_verify_cert(verification), error = X509_STORE_CTX_get_error(verification);
    assert_int_equal(good == 1, error == X509_V_OK);
    X509_STORE_CTX_free(verification);
    X509_free(certificate);
    tls_trust_free(&trust);
    ERR_clear_error();
    return error;
}

static void with_lists(size_t count)
{
    options.tls_crls.all[0] = list_path;
    options.tls_crls.count = count;
}

static void certificate_of_the_authority_counts(void **state)
{
    (void)state;
    with_lists(0);
    assert_int_equal(verify_client(CLIENT, key), X509_V_OK);
    assert_int_equal(verify_client(REVOKED, key), X509_V_OK);
    assert_int_equal(verify_client(CLIENT, other_key), X509_V_ERR_CERT_SIGNATURE_FAILURE);
}

static void revoked_certificate_does_not_count(void **state)
{
    (void)state;
    with_lists(1);
    assert_int_equal(verify_client(CLIENT, key), X509_V_OK);
    assert_int_equal(verify_client(REVOKED, key), X509_V_ERR_CERT_REVOKED);
}

/* A lookup costs time in proportion to the CRL: a certificate that merely names the CA must not
 * cause one. */
static void forged_certificate_is_not_looked_up(void **state)
{
    (void)state;
    with_lists(1);
    assert_int_equal(verify_client(REVOKED, other_key), X509_V_ERR_CERT_SIGNATURE_FAILURE);
}

static void digest_differs_where_trust_does(void **state)
{
    struct tls_trust none, one, with_list, again;
    const struct options nobody = {.tls_client_ca = NULL};
    (void)state;
    with_lists(0);
    assert_true(trust_of(&none, &nobody));
    assert_true(trust_of(&one, &options));
    with_lists(1);
    assert_true(trust_of(&with_list, &options));
    assert_true(trust_of(&again, &options));
    assert_memory_not_equal(none.digest, one.digest, TLS_TRUST_DIGEST);
    assert_memory_not_equal(one.digest, with_list.digest, TLS_TRUST_DIGEST);
    assert_memory_equal(with_list.digest, again.digest, TLS_TRUST_DIGEST);
    tls_trust_free(&none);
    tls_trust_free(&one);
    tls_trust_free(&with_list);
    tls_trust_free(&again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(certificate_of_the_authority_counts),
        cmocka_unit_test(revoked_certificate_does_not_count),
        cmocka_unit_test(forged_certificate_is_not_looked_up),
        cmocka_unit_test(digest_differs_where_trust_does),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
