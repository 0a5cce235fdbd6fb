/* SPDX-License-Identifier: MIT */
/* What the kernel allows a process: descriptors, core files, its place in the queue of those that
 * die when memory runs out, its CPU. */
#ifndef ROSTERD_SERVER_OS_LIMITS_H
#define ROSTERD_SERVER_OS_LIMITS_H

#include "server/config/options.h"

/** The master's, which its workers inherit. Logs what it came to. */
void limits_of_master(const struct options *options);
/** A worker's own. */
void limits_of_worker(const struct options *options, unsigned number);

#endif
