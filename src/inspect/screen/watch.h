/* SPDX-License-Identifier: MIT */
/* watch: shows the segment as it changes, on a full screen or as JSON lines. */
#ifndef ROSTERD_INSPECT_SCREEN_WATCH_H
#define ROSTERD_INSPECT_SCREEN_WATCH_H

#include "inspect/core/inspect_options.h"
#include "inspect/core/report.h"

enum inspect_exit command_watch(const struct inspect_options *options);

#endif
