/* SPDX-License-Identifier: MIT */
/* The start of the master and its end: signals, sockets, the segment, the first generation. */
#ifndef ROSTERD_SERVER_MASTER_STARTUP_H
#define ROSTERD_SERVER_MASTER_STARTUP_H

#include "base/fault.h"
#include "server/master/master_state.h"

/**
 * Opens the first generation and everything that it needs.
 * @param options are moved into the generation, and are freed on failure
 * @return false: startup_close() must be called nevertheless
 */
bool startup_open(struct master *master, struct options *options, struct fault *fault);
/** All workers of the first generation accept connections: the server has started. */
void startup_finish(struct master *master, struct generation *generation);
/** Prints the fault on standard error, in one line, and sets the exit status. */
void startup_report_failure(struct master *master, struct fault *fault);
/** The end of the master, when no worker runs any more. Removes socket files, and the segment when
 * this start has created it but the server has never served. */
void startup_close(struct master *master);

#endif
