/* SPDX-License-Identifier: MIT */
/*
 * Executes the program again when something of this process (a library, the stack) lies at the
 * fixed addresses of the segment. The new process has another random layout.
 */
#ifndef ROSTERD_INSPECT_CORE_RESTART_H
#define ROSTERD_INSPECT_CORE_RESTART_H

#include "inspect/core/inspect_options.h"

/**
 * At the start, before the command opens any file. As root, checks the segment's addresses and
 * restarts if they are taken. Root cannot restart later: then it may have no right to open the
 * files of the command line, and the end of the first process would make the keeper (keeper.h)
 * remove the temporary file of the second. For other users this does nothing.
 */
void restart_early_as_root(const struct inspect_options *options);

/**
 * After an attach that failed with SHM_EBASE. Restarts, unless the program was started as root:
 * root's chance was restart_early_as_root(). Returns if a restart does not help.
 */
void restart_for_addresses(const struct inspect_options *options);

#endif
