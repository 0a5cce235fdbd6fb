/* SPDX-License-Identifier: MIT */
/* Commands that change users: update, disable, enable, set-roles. */
#ifndef ROSTERD_INSPECT_COMMANDS_UPDATE_COMMANDS_H
#define ROSTERD_INSPECT_COMMANDS_UPDATE_COMMANDS_H

#include "inspect/core/inspect_options.h"
#include "inspect/core/report.h"

enum inspect_exit command_update(const struct inspect_options *options);
enum inspect_exit command_disable(const struct inspect_options *options);
enum inspect_exit command_enable(const struct inspect_options *options);
enum inspect_exit command_set_roles(const struct inspect_options *options);

#endif
