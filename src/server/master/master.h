/* SPDX-License-Identifier: MIT */
/*
 * The master process: it holds the listening sockets and the segment, forks the workers, and then
 * only waits for signals, dead children, and what they report. It runs no event loop and parses no
 * byte from the network.
 */
#ifndef ROSTERD_SERVER_MASTER_MASTER_H
#define ROSTERD_SERVER_MASTER_MASTER_H

#include "server/config/options.h"

/**
 * Runs the server to its end. A start that fails prints why, in one line on standard error, and
 * leaves nothing behind. Returns in each forked worker, too.
 * @param options are moved into the master, which frees them
 * @return the exit status of this process
 */
int master_run(struct options *options);

#endif
