/* SPDX-License-Identifier: MIT */
#include "server/master/generation.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/output.h"
#include "server/config/options_parse.h"
#include "server/master/inherit.h"
#include "server/os/log.h"
#include "service/core/scope.h"
#include "service/observe/access_log.h"

static bool load_tokens(struct generation *generation, struct fault *fault)
{
    char warning[AUTH_WARNING_SIZE];
    const char *path = generation->options.auth_token_file;
    if (path == NULL)
        return true;
    generation->auth = auth_load(path, warning, fault);
    if (generation->auth == NULL)
        return fault_prefix(fault, "auth-token-file");
    if (warning[0] != '\0')
        log_warning("auth-token-file: %s", warning);
    if (generation->options.metrics_auth != 0 && !auth_has_scope(generation->auth, SCOPE_METRICS))
        log_warning("metrics-auth: no token of %.300s has the scope metrics", path);
    return true;
}

/* @param tls stays NULL without a certificate */
static bool load_tls_files(struct tls **tls, const struct tls_files *files,
                           const struct tls *before, struct fault *fault)
{
    struct fault warning;
    if (files->certificates->count == 0)
        return true;
    *tls = tls_load(files, before, &warning, fault);
    if (*tls == NULL)
        return false;
    if (warning.text[0] != '\0')
        log_warning("%s", warning.text);
    return true;
}

static bool load_tls(struct generation *generation, const struct generation *before,
                     struct fault *fault)
{
    const struct tls_files files = tls_files_for_grpc(&generation->options);
    const struct tls_files web_files = tls_files_for_metrics(&generation->options);
    return load_tls_files(&generation->tls, &files, before != NULL ? before->tls : NULL, fault) &&
           load_tls_files(&generation->web_tls, &web_files, NULL, fault);
}

bool generation_load(struct generation *generation, const struct generation *before,
                     struct fault *fault)
{
    return load_tokens(generation, fault) && load_tls(generation, before, fault);
}

static bool open_access_log(struct generation *generation, struct fault *fault)
{
    const char *path = generation->options.access_log_file;
    if (generation->options.access_log == 0)
        return true;
    generation->access_log_fd = access_log_open(path);
    if (generation->access_log_fd >= 0)
        return true;
    return fault_set(fault, "access-log-file: %s: %s", path == NULL ? "standard error" : path,
                     output_error(errno));
}

bool generation_reopen_access_log(struct generation *generation)
{
    const struct options *options = &generation->options;
    return generation->access_log_fd < 0 || options->access_log_file == NULL ||
           access_log_open_again(options->access_log_file, generation->access_log_fd);
}

/* ---- sockets ---- */

/* Adds the sockets that systemd has handed over and no option names: they are served, too. */
static bool add_unnamed(struct generation *generation, const struct listeners *handed,
                        struct fault *fault)
{
    bool done = true;
    for (size_t i = 0; i < handed->count && done; i++) {
        const struct listener *listener = &handed->all[i];
        struct listeners *to =
            inherit_is_for_web(listener) ? &generation->web_listeners : &generation->listeners;
        bool known = !listener->foreign;
        for (size_t k = 0; k < to->count; k++)
            known = known || strcmp(to->all[k].text, listener->text) == 0;
        done = known || listeners_share(to, listener, fault);
    }
    return done;
}

/* Whether systemd has handed over a socket for gRPC. */
static bool has_grpc(const struct listeners *handed)
{
    for (size_t i = 0; i < handed->count; i++)
        if (handed->all[i].foreign && !inherit_is_for_web(&handed->all[i]))
            return true;
    return false;
}

static bool open_listeners(struct generation *generation, const struct generation *before,
                           const struct listeners *handed, struct fault *fault)
{
    const struct options *options = &generation->options;
    static const struct listen_addresses none;
    /* systemd's sockets replace the default addresses, but not those that an option names */
    bool instead = options->default_listen && has_grpc(handed);
    if (!inherit_or_bind(&generation->listeners, "listen", instead ? &none : &options->listen,
                         options->default_listen, before != NULL ? &before->listeners : NULL,
                         handed, fault) ||
        !inherit_or_bind(&generation->web_listeners, "metrics-listen", &options->metrics_listen,
                         false, before != NULL ? &before->web_listeners : NULL, handed, fault))
        return false;
    if (!add_unnamed(generation, handed, fault))
        return fault_prefix(fault, "LISTEN_FDS");
    return generation->listeners.count != 0 ||
           fault_set(fault, "listen: this host has neither 127.0.0.1 nor [::1]");
}

void generation_remove_files(const struct generation *generation, const struct generation *kept)
{
    static const struct listeners none;
    listeners_remove_files(&generation->listeners, kept != NULL ? &kept->listeners : &none);
    listeners_remove_files(&generation->web_listeners, kept != NULL ? &kept->web_listeners : &none);
}

void generation_stop_listening(struct generation *generation)
{
    listeners_close(&generation->listeners, false);
    listeners_close(&generation->web_listeners, false);
}

/* ---- open and close ---- */

static bool open_children(struct generation *generation, const struct generation_common *common,
                          struct fault *fault)
{
    unsigned workers = (unsigned)generation->options.workers;
    generation->balance = balance_create(workers);
    const struct worker_config config = {
        .options = &generation->options,
        .listeners = &generation->listeners,
        .web_listeners = &generation->web_listeners,
        .auth = generation->auth,
        .access_log_fd = generation->access_log_fd,
        .tls = generation->tls,
        .web_tls = generation->web_tls,
        .admission = common->admission,
        .balance = generation->balance,
        .store = common->store,
        .counters = common->counters,
        .wake = common->wake,
        .wake_fd = -1,
        .pool = common->pool,
        .tries = common->tries,
        .death_fd = common->death_fd,
    };
    if (generation->balance != NULL && children_open(&generation->children, &config, workers))
        return true;
    return fault_set_errno(fault, "workers");
}

struct generation *generation_open(struct options *options, const struct generation *before,
                                   const struct listeners *handed,
                                   const struct generation_common *common, struct fault *fault)
{
    struct generation *generation = calloc(1, sizeof(*generation));
    if (generation == NULL) {
        options_free(options);
        fault_set(fault, "out of memory");
        return NULL;
    }
    generation->options = *options;
    generation->access_log_fd = -1;
    if (generation_load(generation, before, fault) && open_access_log(generation, fault) &&
        open_listeners(generation, before, handed, fault) &&
        open_children(generation, common, fault))
        return generation;
    generation_remove_files(generation, before);
    generation_close(generation);
    return NULL;
}

void generation_close(struct generation *generation)
{
    generation_stop_listening(generation);
    if (generation->access_log_fd >= 0)
        close(generation->access_log_fd);
    children_close(&generation->children);
    balance_destroy(generation->balance);
    auth_free(generation->auth);
    tls_free(generation->tls);
    tls_free(generation->web_tls);
    options_free(&generation->options);
    free(generation);
}
