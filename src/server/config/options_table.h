/* SPDX-License-Identifier: MIT */
/* What an option is: the one table behind the parser, --help, the manuals, the sample
 * configuration and the shell's completion. Inside src/server/options*.c alone. */
#ifndef ROSTERD_SERVER_CONFIG_OPTIONS_TABLE_H
#define ROSTERD_SERVER_CONFIG_OPTIONS_TABLE_H

#include "server/config/options.h"

enum option_type {
    OPTION_LISTEN,
    OPTION_COUNT,
    OPTION_SIZE,
    OPTION_TIME,
    OPTION_LIFETIME, /* a time, or `never` */
    OPTION_SEGMENT,
    OPTION_CHOICE,
    OPTION_CPUS,
    OPTION_PATH,
    OPTION_PATHS,
    OPTION_PID,
    OPTION_FLAG, /* on the command line alone, and without a value */
};

/** A word that an option may have, and what it stands for. */
struct choice {
    const char *word;
    uint64_t value;
};

enum option_rule {
    OPTION_RELOADS,      /* a reload brings its new value into force */
    OPTION_RESTARTS,     /* it stays as it is until the server is started again */
    OPTION_COMMAND_LINE, /* no key of the file */
};

struct option {
    const char *name;
    enum option_type type;
    enum option_rule rule;
    size_t at;         /* of the field in struct options */
    uint64_t min, max; /* of numbers */
    const char *value; /* the default, read like any other; NULL: made at run time, or none */
    const char *bounds, *help;
    const struct choice *choices; /* of OPTION_CHOICE, up to a NULL word */
    const char *more;             /* what the manual says beside help; NULL: nothing */
    const char *group;            /* begins with this option: a heading */
};

extern const struct option options_table[OPTIONS_COUNT];

/** "ADDRESS", "N", ... */
const char *option_argument(const struct option *option);

/** Reads a value as the command line (line -1) or line `line` of the file has it. */
bool option_set(struct options *options, const struct option *option, const char *value, int line,
                struct fault *fault);
const struct option *option_find(const char *name, size_t len);
/** The option whose name a misspelt one was most likely to be, or NULL. */
const struct option *option_nearest(const char *name);

/** options_file.c: reads the whole file into options. */
bool options_read_file(struct options *options, const char *path, struct fault *fault);

#endif
