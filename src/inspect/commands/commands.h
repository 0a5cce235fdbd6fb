/* SPDX-License-Identifier: MIT */
/* The table of commands. A new command is a row of the table and its function. */
#ifndef ROSTERD_INSPECT_COMMANDS_COMMANDS_H
#define ROSTERD_INSPECT_COMMANDS_COMMANDS_H

#include "inspect/core/inspect_options.h"
#include "inspect/core/report.h"

/** The options that only some commands take, as bits. */
enum command_option {
    COMMAND_LIMIT = 1 << 0,
    COMMAND_AFTER = 1 << 1,
    COMMAND_ALL = 1 << 2,
    COMMAND_USERNAME = 1 << 3,
    COMMAND_FROM = 1 << 4,
    COMMAND_OUTPUT = 1 << 5,
    COMMAND_KEEP_GOING = 1 << 6,
    COMMAND_DATA_FILE = 1 << 7,
    COMMAND_EMAIL = 1 << 8,
    COMMAND_FILTER = 1 << 9,
    COMMAND_CHANGES = 1 << 10, /* --remove-label, --enable */
    COMMAND_IF_ETAG = 1 << 11,
    COMMAND_WITH_SECRETS = 1 << 12,
    COMMAND_RAW = 1 << 13,
    COMMAND_FIELDS = 1 << 14, /* --roles, --label, --disable */
};

struct command {
    const char *name;
    /** "[X]" is optional; "[X]..." is optional and may be repeated. */
    const char *operands[INSPECT_OPERANDS];
    unsigned allowed; /* command_option bits */
    unsigned instead; /* command_option bits of which one takes the place of all operands */
    /** Prints the result on stdout and the reason of a failure on stderr. */
    enum inspect_exit (*run)(const struct inspect_options *options);
};

/** @return NULL if there is no command of this name */
const struct command *commands_find(const char *name);
/** The name that is spelled most like this one; NULL if there is none close to it. */
const char *commands_nearest_name(const char *name);

#endif
