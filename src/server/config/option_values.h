/* SPDX-License-Identifier: MIT */
/* Values of options: from text into a field of struct options, and back. */
#ifndef ROSTERD_SERVER_CONFIG_OPTION_VALUES_H
#define ROSTERD_SERVER_CONFIG_OPTION_VALUES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/fault.h"
#include "server/config/option_table.h"

/**
 * Reads a value and puts it into the option's field; a list gets one more entry.
 * @param value is copied; a flag ignores it
 * @param origin an enum option_origin, or a line of the file; a list from the command line replaces
 * the list from the file
 * @return false: "NAME: 'VALUE' is not ...", or out of memory
 */
bool option_set(struct options *options, const struct option *option, const char *value, int origin,
                struct fault *fault);
/** Sets the default of the option, or each entry of a list. Without a default it does nothing. */
bool option_set_default(struct options *options, const struct option *option, struct fault *fault);

/** Whether both have the same value of an option that is not a list. */
bool option_is_same(const struct option *option, const struct options *a, const struct options *b);
/** Copies the value of an option that is not a list. @return false: out of memory */
bool option_copy(const struct option *option, struct options *to, const struct options *from);

/** The number of values: of a list its entries, else 1; 0 where there is no value. */
size_t option_count(const struct option *option, const struct options *options);
/** The value as an option writes it. @param index below option_count() */
void option_format(const struct option *option, const struct options *options, size_t index,
                   char *text, size_t size);

#endif
