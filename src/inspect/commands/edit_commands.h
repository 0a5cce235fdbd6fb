/* SPDX-License-Identifier: MIT */
/* Commands that change users: delete, set-roles. */
#ifndef ROSTERD_INSPECT_COMMANDS_EDIT_COMMANDS_H
#define ROSTERD_INSPECT_COMMANDS_EDIT_COMMANDS_H

#include "inspect/core/inspect_options.h"
#include "inspect/core/report.h"

enum inspect_exit command_delete(const struct inspect_options *options);
enum inspect_exit command_set_roles(const struct inspect_options *options);

#endif
