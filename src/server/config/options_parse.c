/* SPDX-License-Identifier: MIT */
#include "server/config/options_parse.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <unistd.h>

#include "server/config/command_line.h"
#include "server/config/option_file.h"
#include "server/config/option_values.h"
#include "server/os/cpus.h"
#include "shm/store.h"
#include "user/segment_place.h"

static const struct option *existing_option(const char *name)
{
    const struct option *option = option_find(name, strlen(name));
    assert(option != NULL);
    return option;
}

/* ---- defaults ---- */

/* Sets the defaults except those of lists: the default of a list applies only if no entry is given.
 */
static bool set_defaults(struct options *options, struct fault *fault)
{
    for (size_t i = 0; i < OPTIONS_COUNT; i++)
        if (!option_is_list(&option_table[i]) &&
            !option_set_default(options, &option_table[i], fault))
            return false;
    return true;
}

/* Whether neither the file nor the command line sets the option. `name` must exist. */
static bool is_default_option(const struct options *options, const char *name)
{
    return options->origin[option_index(existing_option(name))] == OPTION_FROM_DEFAULT;
}

static bool set_list_defaults(struct options *options, struct fault *fault)
{
    for (size_t i = 0; i < OPTIONS_COUNT; i++) {
        const struct option *option = &option_table[i];
        if (option_is_list(option) && option_count(option, options) == 0 &&
            !option_set_default(options, option, fault))
            return false;
    }
    options->default_listen = is_default_option(options, "listen");
    return true;
}

static void set_workers_default(struct options *options)
{
    if (options->workers != 0)
        return;
    uint64_t cpus = cpus_usable("");
    options->workers = MIN(cpus, existing_option("workers")->max);
}

/* A verification takes a CPU for tens of milliseconds: on a small machine the others are for calls.
 */
static void set_password_processes_default(struct options *options)
{
    enum { CPUS_FOR_EACH = 4, DEFAULT_MOST = 8 };
    if (!is_default_option(options, "password-processes"))
        return;
    uint64_t cpus = cpus_usable("");
    options->password_processes =
        MIN(MAX(cpus / CPUS_FOR_EACH, UINT64_C(1)), (uint64_t)DEFAULT_MOST);
}

/* The directory of the data file, unless an option names one. @return its length */
static int state_directory(char *path, size_t size)
{
    const char *systemd = getenv("STATE_DIRECTORY"), *xdg = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    if (systemd != NULL && systemd[0] == '/') /* it may name several, with colons between */
        return snprintf(path, size, "%.*s", (int)strcspn(systemd, ":"), systemd);
    if (geteuid() != 0 && xdg != NULL && xdg[0] == '/')
        return snprintf(path, size, "%s/rosterd", xdg);
    if (geteuid() != 0 && home != NULL && home[0] == '/' && home[1] != '\0')
        return snprintf(path, size, "%s/.local/state/rosterd", home);
    return snprintf(path, size, "/var/lib/rosterd");
}

static bool set_segment_default(struct options *options, struct fault *fault)
{
    char name[SEGMENT_NAME_SIZE];
    if (options->segment != NULL && strcmp(options->segment, SEGMENT_BEFORE) != 0)
        return true;
    segment_of_this_server(name);
    return option_set(options, existing_option("segment"), name, OPTION_FROM_DEFAULT, fault);
}

bool options_have_default_segment(const struct options *options)
{
    char by_default[SEGMENT_NAME_SIZE];
    segment_of_this_server(by_default);
    return strcmp(options->segment, by_default) == 0;
}

/* @param fault also if the path is too long */
static bool set_data_file_default(struct options *options, struct fault *fault)
{
    char path[SHM_DATA_FILE_MAX];
    if (options->data_file != NULL)
        return true;
    char by_default[SEGMENT_NAME_SIZE];
    segment_of_this_server(by_default);
    const char *name =
        strcmp(options->segment, by_default) == 0 ? SEGMENT_BEFORE : options->segment;
    int at = state_directory(path, sizeof(path)), len = at;
    if (at > 0 && (size_t)at < sizeof(path))
        len += snprintf(path + at, sizeof(path) - (size_t)at, "%s.db", name);
    if (len > at && (size_t)len < sizeof(path))
        for (char *slash = path + at + 1; (slash = strchr(slash, '/')) != NULL;)
            *slash = '-';
    if (len <= 0 || (size_t)len >= sizeof(path))
        return fault_set(fault, "data-file: the default path is too long");
    return option_set(options, existing_option("data-file"), path, OPTION_FROM_DEFAULT, fault);
}

const char *options_data_file(const struct options *options)
{
    return strcmp(options->data_file, "none") == 0 ? NULL : options->data_file;
}

/* ---- options that depend on others ---- */

/* An IPv6 address for both families leaves IPv4 to an IPv4 address with the same port. */
static void settle_addresses(struct options *options)
{
    struct listen_addresses *lists[] = {&options->listen, &options->metrics_listen};
    for (int i = 0; i < 4; i++) {
        struct listen_addresses *list = lists[i / 2];
        for (size_t k = 0; k < list->count; k++)
            listen_settle(&list->all[k], lists[i % 2]->all, lists[i % 2]->count);
    }
}

/* Unless the limit was set explicitly, it must have room for four messages. */
static void fit_memory(struct options *options)
{
    if (is_default_option(options, "max-connection-memory"))
        options->max_connection_memory =
            MAX(options->max_connection_memory, 4 * options->max_message_size);
}

/* @param prefix of the options' names */
static bool check_tls(const struct option_paths *certificates, const struct option_paths *keys,
                      const char *client_ca, const struct option_paths *lists, const char *prefix,
                      struct fault *fault)
{
    if (certificates->count > keys->count)
        return fault_set(fault, "%stls-key: a %stls-certificate has no %stls-key", prefix, prefix,
                         prefix);
    if (keys->count > certificates->count)
        return fault_set(fault, "%stls-certificate: a %stls-key has no %stls-certificate", prefix,
                         prefix, prefix);
    if (client_ca != NULL && certificates->count == 0)
        return fault_set(fault, "%stls-client-ca: needs a %stls-certificate and a %stls-key",
                         prefix, prefix, prefix);
    if (lists->count != 0 && client_ca == NULL)
        return fault_set(fault, "%stls-crl: needs a %stls-client-ca, whose certificates it revokes",
                         prefix, prefix);
    return true;
}

static bool check_together(const struct options *options, struct fault *fault)
{
    if (!check_tls(&options->tls_certificates, &options->tls_keys, options->tls_client_ca,
                   &options->tls_crls, "", fault) ||
        !check_tls(&options->metrics_tls_certificates, &options->metrics_tls_keys,
                   options->metrics_tls_client_ca, &options->metrics_tls_crls, "metrics-", fault))
        return false;
    if (options->metrics_auth != 0 && options->auth_token_file == NULL)
        return fault_set(fault, "metrics-auth: needs an auth-token-file, which has the tokens");
    if (options->max_connection_memory < 2 * options->max_message_size)
        return fault_set(fault,
                         "max-connection-memory: %llu bytes is too little: it must be at least "
                         "twice max-message-size, %llu bytes",
                         (unsigned long long)options->max_connection_memory,
                         2 * (unsigned long long)options->max_message_size);
    return true;
}

/* ---- all of it ---- */

/* The command line is applied last, so that it wins over the file. */
static bool parse_sources(struct options *options, const struct command_line *line,
                          struct fault *fault)
{
    const char *path = command_line_value(line, "config");
    return set_defaults(options, fault) &&
           (path == NULL || option_file_read(options, path, fault)) &&
           command_line_apply(line, options, fault) && set_list_defaults(options, fault);
}

bool options_parse(struct options *options, int argc, char *const *argv, struct fault *fault)
{
    struct command_line line;
    *options = (struct options){.argc = argc, .argv = argv};
    bool good = command_line_read(&line, argc, argv, fault);
    options->help = line.help;
    options->version = line.version;
    if (good && !line.help && !line.version) {
        good = parse_sources(options, &line, fault) && set_segment_default(options, fault) &&
               set_data_file_default(options, fault);
        set_workers_default(options);
        set_password_processes_default(options);
        settle_addresses(options);
        fit_memory(options);
        good = good && check_together(options, fault);
    }
    command_line_free(&line);
    return good;
}

void options_free(struct options *options)
{
    for (size_t i = 0; i < options->num_strings; i++)
        free(options->strings[i]);
    free(options->strings);
    options->strings = NULL;
    options->num_strings = 0;
}

struct limits options_limits(const struct options *options)
{
    return (struct limits){
        .core_dumps = options->core_dumps != 0,
        .worker_cpus = options->worker_cpus,
        .worker_oom_score_adjust = options->worker_oom_score_adjust,
        .max_connections = options->max_connections,
        .max_connections_set = !is_default_option(options, "max-connections"),
        .workers = options->workers,
        .segment_size = options->segment_size,
    };
}

bool options_keep_fixed(struct options *next, const struct options *now, char *names, size_t size,
                        struct fault *fault)
{
    size_t len = 0;
    names[0] = '\0';
    for (size_t i = 0; i < OPTIONS_COUNT; i++) {
        const struct option *option = &option_table[i];
        if (option->rule != OPTION_RESTARTS || option_is_same(option, next, now))
            continue;
        /* a default that follows from another option changes with it, and is not named */
        bool named =
            next->origin[i] != OPTION_FROM_DEFAULT || now->origin[i] != OPTION_FROM_DEFAULT;
        if (named && len < size)
            len += (size_t)snprintf(names + len, size - len, "%s%s", len != 0 ? ", " : "",
                                    option->name);
        if (!option_copy(option, next, now))
            return fault_set(fault, "out of memory");
    }
    return true;
}
