/* SPDX-License-Identifier: MIT */
/* Certificates for the tests of TLS. Include it after cmocka.h. */
#ifndef ROSTERD_TESTS_SERVER_TLS_MAKE_CERTIFICATE_H
#define ROSTERD_TESTS_SERVER_TLS_MAKE_CERTIFICATE_H

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>

struct certificate_request {
    const char *name; /* its CN */
    long serial;
    EVP_PKEY *key;
    X509 *issuer; /* NULL: self-signed */
    EVP_PKEY *issuer_key;
    long seconds; /* for which it is valid from now on */
    bool is_ca;
};

/* @return a certificate that the caller frees; it has been valid for an hour */
static inline X509 *make_certificate(const struct certificate_request *request)
{
    X509 *certificate = X509_new();
    X509_NAME *subject = X509_get_subject_name(certificate);
    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), request->serial);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), request->seconds);
    X509_set_pubkey(certificate, request->key);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const uint8_t *)request->name, -1, -1,
                               0);
    X509_set_issuer_name(
        certificate, request->issuer != NULL ? X509_get_subject_name(request->issuer) : subject);
    if (request->is_ca) {
        X509_EXTENSION *ca =
            X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "critical,CA:TRUE");
        X509_add_ext(certificate, ca, -1);
        X509_EXTENSION_free(ca);
    }
    EVP_PKEY *signer = request->issuer != NULL ? request->issuer_key : request->key;
    assert_true(X509_sign(certificate, signer, EVP_sha256()) > 0);
    return certificate;
}

static inline void write_certificate(const char *path, X509 *certificate)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(PEM_write_X509(file, certificate), 1);
    assert_int_equal(fclose(file), 0);
}

#endif
