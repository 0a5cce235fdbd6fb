/* SPDX-License-Identifier: MIT */
/* The command line: which options it has, with which values. */
#ifndef ROSTERD_SERVER_CONFIG_COMMAND_LINE_H
#define ROSTERD_SERVER_CONFIG_COMMAND_LINE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/fault.h"
#include "server/config/option_table.h"

struct command_line_entry {
    const struct option *option;
    const char *value; /* in argv; "" for a flag */
};

struct command_line {
    struct command_line_entry *entries; /* in their order */
    size_t count;
    bool help, version; /* --help or --version occurs anywhere, also as another option's value */
};

/**
 * Splits the arguments into options and values; does not look at the values yet.
 * @param line is overwritten; the caller calls command_line_free(), also after a failure
 * @return false: an unknown option, an argument that is no option, a value too many or too few, and
 * neither --help nor --version; or out of memory
 */
bool command_line_read(struct command_line *line, int argc, char *const *argv, struct fault *fault);
/** The last value of an option, or NULL. */
const char *command_line_value(const struct command_line *line, const char *name);
/** Sets the options to the values, in order. */
bool command_line_apply(const struct command_line *line, struct options *options,
                        struct fault *fault);
void command_line_free(struct command_line *line);

#endif
