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

struct options {
    char *const *argv; /* as main got them, to start over with */
    struct listen_address listen[LISTEN_MAX];
    uint64_t num_listen;
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
    bool segment_reset;              /* move the segment aside, start with an empty one */
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
