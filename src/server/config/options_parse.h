/* SPDX-License-Identifier: MIT */
/* Fills a struct options from the defaults, the configuration file and the command line. */
#ifndef ROSTERD_SERVER_CONFIG_OPTIONS_PARSE_H
#define ROSTERD_SERVER_CONFIG_OPTIONS_PARSE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/fault.h"
#include "server/config/options.h"
#include "server/os/limits.h"

/**
 * Reads the command line and the file that it names. If an option is given twice, the last value
 * counts, but lists add; a list on the command line replaces the list of the file. With --help or
 * --version nothing else is read or checked.
 * @param options is overwritten; the caller calls options_free(), also after a failure
 * @param argv must outlive the options
 * @return false: the fault names the option, its file and line if it has any, and the reason
 */
bool options_parse(struct options *options, int argc, char *const *argv, struct fault *fault);
void options_free(struct options *options);

/** @return the data file; NULL: the users are in memory only */
const char *options_data_file(const struct options *options);

/** Whether the segment has the name that it has by default. */
bool options_have_default_segment(const struct options *options);

/** What the options say about the limits of processes. */
struct limits options_limits(const struct options *options);

/**
 * For a reload: gives `next` the values of `now` for the options that only a restart can change.
 * @param names set to the options that would have changed, as "a, b"; empty if there are none
 * @return false: out of memory
 */
bool options_keep_fixed(struct options *next, const struct options *now, char *names, size_t size,
                        struct fault *fault);

#endif
