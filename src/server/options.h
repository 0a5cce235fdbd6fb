/* SPDX-License-Identifier: MIT */
/*
 * The command line. Each option is declared once, in options.c: name, type,
 * bounds, default and help; the parser and --help both read that table.
 */
#ifndef ROSTERD_SERVER_OPTIONS_H
#define ROSTERD_SERVER_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "server/listen.h"
#include "server/log.h"

enum { OPTION_PATHS_MAX = 64 };
/** Of a time: there is no end. */
#define OPTIONS_NEVER UINT64_MAX

enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

struct listen_addresses {
    struct listen_address all[LISTEN_MAX];
    size_t count;
};

struct option_paths {
    const char *all[OPTION_PATHS_MAX];
    size_t count;
};

struct options {
    char *const *argv; /* as main got them, to start over with */
    struct listen_addresses listen;
    bool default_listen; /* nobody asked for these: what the host lacks is skipped */
    uint64_t workers;
    const char *segment;
    uint64_t segment_size; /* bytes */
    uint64_t max_users;
    uint64_t unique;           /* bit k: no two users share key k (enum user_key) */
    uint64_t snapshot_max_age; /* ms */
    uint64_t snapshot_max_bytes;
    uint64_t max_message_size;       /* bytes */
    uint64_t max_header_size;        /* bytes, as RFC 9113 10.5.1 counts them */
    uint64_t max_concurrent_streams; /* per connection */
    uint64_t busy_poll;              /* microseconds */
    uint64_t drain_timeout;          /* ms */
    uint64_t log_level;              /* enum log_level */
    uint64_t log_format;             /* enum log_format */
    uint64_t access_log;             /* 0 or 1 */
    const char *access_log_file;     /* NULL: stderr */
    const char *auth_token_file;     /* NULL: no tokens are asked for */
    struct listen_addresses metrics_listen;
    uint64_t compression;                                  /* GRPC_COMPRESS_* */
    uint64_t compression_min_size;                         /* bytes */
    struct option_paths tls_certificates, tls_keys;        /* as many of each */
    const char *tls_client_ca;                             /* NULL: clients need no certificate */
    uint64_t max_connections, max_connections_per_address; /* 0: no bound */
    uint64_t handshake_timeout;                            /* ms, as all times here */
    uint64_t max_connection_age, max_connection_age_grace, max_connection_idle; /* or NEVER */
    uint64_t keepalive_time;                                                    /* or NEVER */
    uint64_t keepalive_timeout, keepalive_min_time;
    uint64_t keepalive_without_calls; /* 0 or 1 */
    bool segment_reset;               /* move the segment aside, start with an empty one */
};

enum options_result {
    OPTIONS_RUN,
    OPTIONS_HELP,
    OPTIONS_VERSION,
    OPTIONS_BAD, /* fault says which option and why, in one line */
};

struct options_fault {
    char text[512];
};

/** `--key value` and `--key=value`; of a key given twice the last one counts, but `listen` adds. */
enum options_result options_parse(struct options *options, int argc, char *const *argv,
                                  struct options_fault *fault);
void options_print_help(FILE *out);

#endif
