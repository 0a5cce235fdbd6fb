/* SPDX-License-Identifier: MIT */
/* stats: what the server has counted since its counters were created. */
#ifndef ROSTERD_INSPECT_COMMANDS_STATS_COMMAND_H
#define ROSTERD_INSPECT_COMMANDS_STATS_COMMAND_H

#include "inspect/core/inspect_options.h"
#include "inspect/core/report.h"

enum inspect_exit command_stats(const struct inspect_options *options);

#endif
