/* SPDX-License-Identifier: MIT */
/* dump: prints all users of one snapshot as JSON lines (core/record.h). */
#ifndef ROSTERD_INSPECT_COMMANDS_DUMP_H
#define ROSTERD_INSPECT_COMMANDS_DUMP_H

#include "inspect/core/inspect_options.h"
#include "inspect/core/report.h"

enum inspect_exit command_dump(const struct inspect_options *options);

#endif
