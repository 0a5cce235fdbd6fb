/* SPDX-License-Identifier: MIT */
/*
 * The master process: holds the listening sockets and the segment, forks the
 * workers, and then only waits: for signals, dead children, and what they report. It runs no
 * event loop and parses no byte from the network.
 */
#ifndef ROSTERD_SERVER_MASTER_MASTER_H
#define ROSTERD_SERVER_MASTER_MASTER_H

#include "server/config/options.h"

/**
 * Runs the server to its end. What fails at the start is told in one line on
 * stderr, and nothing is left behind then.
 * @param options become the master's, which frees them
 * @return the exit status of the process (of a worker too, in the child)
 */
int master_run(struct options *options);

#endif
