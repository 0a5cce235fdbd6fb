/* SPDX-License-Identifier: MIT */
/* The command that deletes users. */
#ifndef ROSTERD_INSPECT_COMMANDS_DELETE_COMMAND_H
#define ROSTERD_INSPECT_COMMANDS_DELETE_COMMAND_H

#include "inspect/core/inspect_options.h"
#include "inspect/core/report.h"

enum inspect_exit command_delete(const struct inspect_options *options);

#endif
