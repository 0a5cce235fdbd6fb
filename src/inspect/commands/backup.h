/* SPDX-License-Identifier: MIT */
/* The command backup: copies the data file, also while a server writes it. */
#ifndef ROSTERD_INSPECT_COMMANDS_BACKUP_H
#define ROSTERD_INSPECT_COMMANDS_BACKUP_H

#include "inspect/core/inspect_options.h"
#include "inspect/core/report.h"

enum inspect_exit command_backup(const struct inspect_options *options);

#endif
