/* SPDX-License-Identifier: MIT */
/* tail: follows the change feed and prints a line per change. */
#ifndef ROSTERD_INSPECT_COMMANDS_TAIL_H
#define ROSTERD_INSPECT_COMMANDS_TAIL_H

#include "inspect/core/inspect_options.h"
#include "inspect/core/report.h"

enum inspect_exit command_tail(const struct inspect_options *options);

#endif
