/* SPDX-License-Identifier: MIT */
/* The command restore: puts a backup in place of the data file of a server that has stopped. */
#ifndef ROSTERD_INSPECT_COMMANDS_RESTORE_H
#define ROSTERD_INSPECT_COMMANDS_RESTORE_H

#include "inspect/core/inspect_options.h"
#include "inspect/core/report.h"

enum inspect_exit command_restore(const struct inspect_options *options);

#endif
