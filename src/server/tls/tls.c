/* SPDX-License-Identifier: MIT */
/* What connections are accepted with: a context for each pair. */
#include "server/tls/tls.h"

#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>

#include "http2/http2.h"
#include "server/tls/tls_pair.h"
#include "server/tls/tls_pem.h"
#include "server/tls/tls_tickets.h"
#include "server/tls/tls_trust.h"

struct tls {
    const struct options *options;
    struct tls_pair pairs[OPTION_PATHS_MAX];
    bool stands_in[OPTION_PATHS_MAX];    /* the pair is for all names of the first one */
    SSL_CTX *contexts[OPTION_PATHS_MAX]; /* of each pair; the first serves other names */
    size_t num_pairs, num_contexts;
    struct tls_trust trust;
    struct tls_ticket_source source;
};

/* ---- names ---- */

/* Of each kind of key one: a connection has room for that, and OpenSSL takes the one that the
 * client can use. */
static bool is_new_kind(const struct tls *tls, const size_t *chosen, size_t count, size_t pair)
{
    for (size_t i = 0; i < count; i++)
        if (tls->pairs[chosen[i]].kind == tls->pairs[pair].kind)
            return false;
    return true;
}

/* The pairs for this name, the first of which leads. @return how many; 0: it is nobody's */
static size_t choose(const struct tls *tls, const char *name, size_t chosen[OPTION_PATHS_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < tls->num_pairs; i++) {
        bool fits = name != NULL ? tls_pair_has_name(&tls->pairs[i], name) : tls->stands_in[i];
        if (fits && is_new_kind(tls, chosen, count, i))
            chosen[count++] = i;
    }
    return count;
}

static int on_server_name(SSL *ssl, int *alert, void *data)
{
    const struct tls *tls = data;
    size_t chosen[OPTION_PATHS_MAX] = {0};
    (void)alert;
    if (tls->num_pairs == 1 || SSL_session_reused(ssl))
        return SSL_TLSEXT_ERR_OK;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    size_t count = name == NULL ? 0 : choose(tls, name, chosen);
    if (count == 0)
        count = choose(tls, NULL, chosen); /* the first stands in for itself */
    if (SSL_set_SSL_CTX(ssl, tls->contexts[chosen[0]]) == NULL)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    for (size_t i = 1; i < count; i++) {
        const struct tls_pair *pair = &tls->pairs[chosen[i]];
        if (SSL_use_cert_and_key(ssl, pair->certificate, pair->key, pair->chain, 1) != 1)
            return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    return SSL_TLSEXT_ERR_OK;
}

/* ---- contexts ---- */

static int64_t true_until(void *data, const SSL *ssl)
{
    const struct tls *tls = data;
    return tls_trust_until(&tls->trust, ssl);
}

static bool prepare(struct tls *tls, SSL_CTX *ssl)
{
    SSL_CTX_set_tlsext_servername_callback(ssl, on_server_name);
    SSL_CTX_set_tlsext_servername_arg(ssl, tls);
    return http2_tls_prepare(ssl) && tls_tickets_apply(&tls->source, ssl) &&
           tls_trust_apply(&tls->trust, ssl);
}

static SSL_CTX *make_context(struct tls *tls, size_t number, struct tls_report *report)
{
    const struct tls_pair *pair = &tls->pairs[number];
    SSL_CTX *ssl = SSL_CTX_new(TLS_server_method());
    const char *path = tls->options->tls_certificates.all[number];
    ERR_clear_error();
    if (ssl == NULL || !prepare(tls, ssl))
        tls_fail(report, "tls-certificate", path, "TLS cannot be set up");
    else if (SSL_CTX_use_cert_and_key(ssl, pair->certificate, pair->key, pair->chain, 1) != 1)
        tls_fail(report, "tls-certificate", path, "it cannot be used");
    else
        return ssl;
    SSL_CTX_free(ssl);
    return NULL;
}

static bool load_pairs(struct tls *tls, struct tls_report *report)
{
    const struct options *options = tls->options;
    for (size_t i = 0; i < options->tls_certificates.count; i++) {
        tls->num_pairs++; /* it is there to be freed, whatever comes of it */
        if (!tls_pair_load(&tls->pairs[i], options->tls_certificates.all[i],
                           options->tls_keys.all[i], report))
            return false;
        tls->stands_in[i] = i == 0 || tls_pair_covers(&tls->pairs[i], &tls->pairs[0]);
    }
    return true;
}

static bool make_contexts(struct tls *tls, struct tls_report *report)
{
    for (; tls->num_contexts < tls->num_pairs; tls->num_contexts++) {
        tls->contexts[tls->num_contexts] = make_context(tls, tls->num_contexts, report);
        if (tls->contexts[tls->num_contexts] == NULL)
            return false;
    }
    return true;
}

/* ---- begin and end ---- */

struct tls *tls_load(const struct options *options, const struct tls *before,
                     struct tls_report *report)
{
    *report = (struct tls_report){.fault = "TLS: no memory, or no random numbers"};
    struct tls *tls = calloc(1, sizeof(*tls));
    if (tls == NULL)
        return NULL;
    tls->options = options;
    tls->source.true_until = true_until;
    tls->source.data = tls;
    tls->source.tickets = tls_tickets_create(before != NULL ? before->source.tickets : NULL);
    if (tls->source.tickets != NULL) {
        report->fault[0] = '\0';
        if (load_pairs(tls, report) && tls_trust_load(&tls->trust, options, report) &&
            make_contexts(tls, report))
            return tls;
    }
    tls_free(tls);
    return NULL;
}

void tls_free(struct tls *tls)
{
    if (tls == NULL)
        return;
    for (size_t i = 0; i < tls->num_contexts; i++)
        SSL_CTX_free(tls->contexts[i]);
    for (size_t i = 0; i < tls->num_pairs; i++)
        tls_pair_free(&tls->pairs[i]);
    tls_trust_free(&tls->trust);
    tls_tickets_destroy(tls->source.tickets);
    free(tls);
}

SSL_CTX *tls_context(struct tls *tls)
{
    return tls->contexts[0];
}

void tls_forget_old_secrets(struct tls *tls)
{
    tls_tickets_forget_old(tls->source.tickets);
}
