/* SPDX-License-Identifier: MIT */
/* create: makes a user. */
#ifndef ROSTERD_INSPECT_COMMANDS_CREATE_COMMAND_H
#define ROSTERD_INSPECT_COMMANDS_CREATE_COMMAND_H

#include "inspect/core/inspect_options.h"
#include "inspect/core/report.h"

enum inspect_exit command_create(const struct inspect_options *options);

#endif
