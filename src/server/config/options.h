/* SPDX-License-Identifier: MIT */
/*
 * The configuration: `--key value` on the command line, `key = value` in a file; the command line
 * wins. options.def declares every option once. options_parse.h fills a struct options.
 */
#ifndef ROSTERD_SERVER_CONFIG_OPTIONS_H
#define ROSTERD_SERVER_CONFIG_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/os/listen_address.h"

enum { OPTION_PATHS_MAX = 64 };
/** The value of an OPTION_LIFETIME that is `never`, as http2 and grpc have it. */
enum { OPTIONS_NEVER = 0 };
/** The value of an OPTION_DURABILITY: one of these, or the interval in ms. */
#define OPTIONS_SYNC    UINT64_C(0)
#define OPTIONS_NO_SYNC UINT64_MAX

enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

struct listen_addresses {
    struct listen_address all[LISTEN_MAX];
    size_t count;
};

struct option_paths {
    const char *all[OPTION_PATHS_MAX];
    size_t count;
};

/* clang-format off */
enum {
    /** The number of options: each row adds 1. */
    OPTIONS_COUNT = 0
#define OPTION(type, field, ...) + 1
#include "server/config/options.def"
#undef OPTION
};
/* clang-format on */

/** Where a value came from; a positive number is the line of the configuration file. */
enum option_origin { OPTION_FROM_DEFAULT = 0, OPTION_FROM_COMMAND_LINE = -1 };

struct options {
/* A field for each row, `uint64_t max_users` for one. The rows say what the values mean. */
#define OPTION(type, field, ...) type field;
#include "server/config/options.def"
#undef OPTION
    /** Nobody set `listen`: an address that this host lacks is left out. */
    bool default_listen;
    /** The arguments of main(): a reload parses them again, an upgrade passes them on. */
    char *const *argv;
    int argc;
    int origin[OPTIONS_COUNT]; /* enum option_origin or a line, in the order of the rows */
    /** Copies of the values that the fields point to; options_free() frees them. */
    char **strings;
    size_t num_strings;
};

#endif
