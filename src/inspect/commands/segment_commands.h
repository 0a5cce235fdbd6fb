/* SPDX-License-Identifier: MIT */
/* Commands on the segment as a whole: status, verify, unlink. */
#ifndef ROSTERD_INSPECT_COMMANDS_SEGMENT_COMMANDS_H
#define ROSTERD_INSPECT_COMMANDS_SEGMENT_COMMANDS_H

#include "inspect/core/inspect_options.h"
#include "inspect/core/report.h"

enum inspect_exit command_status(const struct inspect_options *options);
enum inspect_exit command_verify(const struct inspect_options *options);
enum inspect_exit command_unlink(const struct inspect_options *options);

#endif
