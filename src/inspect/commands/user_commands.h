/* SPDX-License-Identifier: MIT */
/* Commands that print users: list, get, find. */
#ifndef ROSTERD_INSPECT_COMMANDS_USER_COMMANDS_H
#define ROSTERD_INSPECT_COMMANDS_USER_COMMANDS_H

#include "inspect/core/inspect_options.h"
#include "inspect/core/report.h"

enum inspect_exit command_list(const struct inspect_options *options);
enum inspect_exit command_get(const struct inspect_options *options);
enum inspect_exit command_find(const struct inspect_options *options);

#endif
