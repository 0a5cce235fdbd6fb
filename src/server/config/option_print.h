/* SPDX-License-Identifier: MIT */
/* What the table of options prints. */
#ifndef ROSTERD_SERVER_CONFIG_OPTION_PRINT_H
#define ROSTERD_SERVER_CONFIG_OPTION_PRINT_H

#include <stdio.h>

#include "server/config/options.h"

void option_print_help(FILE *out);
/** --dump-config: a file that --config could read, with the origin of each value in a comment. */
void option_print_config(const struct options *options, FILE *out);

#endif
