/* SPDX-License-Identifier: MIT */
/*
 * load: inserts and updates the users of JSON lines (core/record.h). However a load ends, the file
 * has been loaded up to some line (core/chunk.h). Loading the file again continues there, because
 * users that are in the table with the same contents are skipped.
 */
#ifndef ROSTERD_INSPECT_COMMANDS_LOAD_H
#define ROSTERD_INSPECT_COMMANDS_LOAD_H

#include "inspect/core/inspect_options.h"
#include "inspect/core/report.h"

enum inspect_exit command_load(const struct inspect_options *options);

#endif
