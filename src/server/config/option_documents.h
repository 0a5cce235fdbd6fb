/* SPDX-License-Identifier: MIT */
/* Documents that the table of options makes while rosterd is built; see describe.c. */
#ifndef ROSTERD_SERVER_CONFIG_OPTION_DOCUMENTS_H
#define ROSTERD_SERVER_CONFIG_OPTION_DOCUMENTS_H

#include <stdio.h>

#include "server/config/option_table.h"

/** The section OPTIONS of rosterd(8), in roff. */
void option_print_manual(FILE *out);
/** The section KEYS of rosterd.conf(5), in roff: the options that are keys of the file. */
void option_print_keys(FILE *out);
/** A configuration file with every key, commented out, at its default. */
void option_print_sample(FILE *out);
/** A line for each option, for the shell's completion: "NAME KIND WORD...", where KIND is "-" (no
 * value), "file" or "value", and the words are those of a choice. */
void option_print_words(FILE *out);

#endif
