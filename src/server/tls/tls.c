/* SPDX-License-Identifier: MIT */
#include "server/tls/tls.h"

#include <assert.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdlib.h>

#include "base/container_of.h"
#include "server/tls/tls_fault.h"
#include "server/tls/tls_pair.h"
#include "server/tls/tls_tickets.h"
#include "server/tls/tls_trust.h"

struct tls {
    struct tls_files files;
    struct tls_pair pairs[OPTION_PATHS_MAX];
    bool stands_in[OPTION_PATHS_MAX];    /* the pair covers all names of the first pair */
    SSL_CTX *contexts[OPTION_PATHS_MAX]; /* one for each pair; the first accepts connections */
    size_t num_pairs, num_contexts;
    struct tls_trust trust;
    struct tls_ticket_source source;
};

/* ---- names ---- */

/* A connection can have one pair for each kind of key; OpenSSL picks the one that the client
 * supports. */
static bool is_new_kind(const struct tls *tls, const size_t *chosen, size_t count, size_t pair)
{
    for (size_t i = 0; i < count; i++)
        if (tls->pairs[chosen[i]].kind == tls->pairs[pair].kind)
            return false;
    return true;
}

/* Finds the pairs for a name, or with NULL those that stand in for the first pair. The context of
 * the first one found is used. @return their number; 0: no pair has the name */
static size_t choose_pairs(const struct tls *tls, const char *name, size_t chosen[OPTION_PATHS_MAX])
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
    size_t count = name == NULL ? 0 : choose_pairs(tls, name, chosen);
    if (count == 0)
        count = choose_pairs(tls, NULL, chosen); /* at least the first pair */
    assert(count != 0);
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

static int64_t session_true_until(const struct tls_ticket_source *source, const SSL *ssl)
{
    const struct tls *tls = container_of(source, struct tls, source);
    return tls_trust_until(&tls->trust, ssl);
}

static bool prepare_context(struct tls *tls, SSL_CTX *ssl)
{
    SSL_CTX_set_tlsext_servername_callback(ssl, on_server_name);
    SSL_CTX_set_tlsext_servername_arg(ssl, tls);
    return tls_tickets_apply(&tls->source, ssl) && tls_trust_apply(&tls->trust, ssl) &&
           tls->files.prepare(ssl);
}

static SSL_CTX *make_context(struct tls *tls, size_t number, struct fault *fault)
{
    const struct tls_pair *pair = &tls->pairs[number];
    SSL_CTX *ssl = SSL_CTX_new(TLS_server_method());
    const char *path = tls->files.certificates->all[number];
    ERR_clear_error();
    if (ssl == NULL || !prepare_context(tls, ssl))
        tls_fault_set(fault, tls->files.certificates_name, path, "TLS cannot be set up");
    else if (SSL_CTX_use_cert_and_key(ssl, pair->certificate, pair->key, pair->chain, 1) != 1)
        tls_fault_set(fault, tls->files.certificates_name, path, "it cannot be used");
    else
        return ssl;
    SSL_CTX_free(ssl);
    return NULL;
}

static bool load_pairs(struct tls *tls, struct fault *warning, struct fault *fault)
{
    for (size_t i = 0; i < tls->files.certificates->count; i++) {
        tls->num_pairs++; /* tls_free() frees it, also after a failure */
        if (!tls_pair_load(&tls->pairs[i], &tls->files, i, warning, fault))
            return false;
        tls->stands_in[i] = i == 0 || tls_pair_covers(&tls->pairs[i], &tls->pairs[0]);
    }
    return true;
}

static bool make_contexts(struct tls *tls, struct fault *fault)
{
    for (; tls->num_contexts < tls->num_pairs; tls->num_contexts++) {
        tls->contexts[tls->num_contexts] = make_context(tls, tls->num_contexts, fault);
        if (tls->contexts[tls->num_contexts] == NULL)
            return false;
    }
    return true;
}

/* ---- begin and end ---- */

struct tls *tls_load(const struct tls_files *files, const struct tls *before, struct fault *warning,
                     struct fault *fault)
{
    assert(files->certificates->count != 0 && files->certificates->count == files->keys->count);
    warning->text[0] = '\0';
    struct tls *tls = calloc(1, sizeof(*tls));
    if (tls == NULL) {
        fault_set(fault, "TLS: out of memory");
        return NULL;
    }
    tls->files = *files;
    tls->source.true_until = session_true_until;
    tls->source.tickets = tls_tickets_create(before != NULL ? before->source.tickets : NULL);
    if (tls->source.tickets == NULL)
        fault_set(fault, "TLS: no memory, or no random numbers");
    else if (load_pairs(tls, warning, fault) &&
             tls_trust_load(&tls->trust, files, warning, fault) && make_contexts(tls, fault))
        return tls;
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
    assert(tls->num_contexts != 0);
    return tls->contexts[0];
}

void tls_forget_old_secrets(struct tls *tls)
{
    tls_tickets_forget_old(tls->source.tickets);
}
