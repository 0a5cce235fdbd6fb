/* SPDX-License-Identifier: MIT */
/*
 * The configuration: `--key value` on the command line, `key = value` in a file, where the command
 * line wins. Each option is declared once, in options_table.c: the parser, --help, the manuals, the
 * sample file and the shell's completion all read that table.
 */
#ifndef ROSTERD_SERVER_CONFIG_OPTIONS_H
#define ROSTERD_SERVER_CONFIG_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/fault.h"
#include "server/os/listen.h"
#include "server/os/log.h"

enum { OPTIONS_COUNT = 49, OPTION_PATHS_MAX = 64 };
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
    struct listen_addresses listen;
    bool default_listen; /* nobody asked for these: what the host lacks is skipped */
    struct listen_addresses metrics_listen;
    struct option_paths tls_certificates, tls_keys;        /* as many of each */
    const char *tls_client_ca;                             /* NULL: clients need no certificate */
    struct option_paths tls_crls;                          /* none: nothing is revoked */
    const char *auth_token_file;                           /* NULL: no tokens are asked for */
    uint64_t max_connections, max_connections_per_address; /* 0: no bound */
    const char *segment;
    uint64_t segment_size; /* bytes */
    uint64_t max_users;
    uint64_t unique;           /* bit k: no two users share key k (enum user_key) */
    uint64_t snapshot_max_age; /* ms */
    uint64_t snapshot_max_bytes;
    uint64_t max_message_size;       /* bytes */
    uint64_t message_timeout;        /* or NEVER */
    uint64_t max_connection_memory;  /* bytes */
    uint64_t max_header_size;        /* bytes, as RFC 9113 10.5.1 counts them */
    uint64_t max_concurrent_streams; /* per connection */
    uint64_t compression;            /* GRPC_COMPRESS_* */
    uint64_t compression_min_size;   /* bytes */
    uint64_t handshake_timeout;      /* ms, as all times here */
    uint64_t max_connection_age, max_connection_age_grace, max_connection_idle; /* or NEVER */
    uint64_t keepalive_time;                                                    /* or NEVER */
    uint64_t keepalive_timeout, keepalive_min_time;
    uint64_t keepalive_without_calls; /* 0 or 1 */
    uint64_t workers;
    const char *worker_cpus; /* see cpus_for_worker() */
    uint64_t worker_timeout;
    uint64_t worker_oom_score_adjust; /* above the master's */
    uint64_t core_dumps;              /* 0 or 1 */
    uint64_t busy_poll;               /* microseconds */
    uint64_t drain_timeout;
    uint64_t log_level;          /* enum log_level */
    uint64_t log_format;         /* enum log_format */
    const char *log_file;        /* NULL: the journal or stderr */
    uint64_t access_log;         /* 0 or 1 */
    const char *access_log_file; /* NULL: stderr */
    /* the command line's own */
    char *const *argv;  /* as main got it, to start over with */
    int argc;           /* and to reload */
    const char *config; /* NULL: no file */
    bool segment_reset; /* move the segment aside, start with an empty one */
    bool check_config, dump_config, help, version;
    uint64_t reload; /* the process to be told; 0: none */
    /* where each value came from: 0 the default, -1 the command line, else the file's line */
    int origin[OPTIONS_COUNT];
    char **strings; /* copies that fields point to */
    size_t num_strings;
};

/**
 * Reads the command line and the file that it names. Of a key given twice the last one
 * counts, but lists add; what the command line gives takes the place of what the file gives.
 * With --help or --version nothing else is looked at.
 * @param options to be freed, whatever comes of it
 * @return false: fault says in one line which option, where, and why
 */
bool options_parse(struct options *options, int argc, char *const *argv, struct fault *fault);
void options_free(struct options *options);
/** Whether nobody gave the option a value. */
bool options_is_default(const struct options *options, const char *name);

/**
 * For a reload: gives `next` the values of `now` where only a restart can change them.
 * @param names takes the options that would have changed, as "a, b"; empty: none
 */
void options_keep_fixed(struct options *next, const struct options *now, char *names, size_t size);

/** --help, and --dump-config as a file that could be given as --config. */
void options_print_help(FILE *out);
void options_dump(const struct options *options, FILE *out);

/* ---- for src/server/config/describe.c, which makes documents of the table ---- */

/** roff for rosterd(8): every option; for rosterd.conf(5): every key of the file. */
void options_print_manual(FILE *out, bool keys_only);
void options_print_sample(FILE *out);
/** One a line, as the shell's completion wants them: --name and what it takes. */
void options_print_words(FILE *out);

#endif
