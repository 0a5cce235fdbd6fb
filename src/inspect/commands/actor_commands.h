/* SPDX-License-Identifier: MIT */
/* Commands that show the processes at a segment and their snapshots: workers, readers. */
#ifndef ROSTERD_INSPECT_COMMANDS_ACTOR_COMMANDS_H
#define ROSTERD_INSPECT_COMMANDS_ACTOR_COMMANDS_H

#include "inspect/core/inspect_options.h"
#include "inspect/core/report.h"

enum inspect_exit command_workers(const struct inspect_options *options);
enum inspect_exit command_readers(const struct inspect_options *options);

#endif
