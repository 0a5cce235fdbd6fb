/* SPDX-License-Identifier: MIT */
/* A process that hashes and verifies passwords (password/pool_server.h), which the master forks and
 * supervises. It has no event loop of the network and reads no byte from a client but passwords. */
#ifndef ROSTERD_SERVER_PASSWORD_PASSWORD_PROCESS_H
#define ROSTERD_SERVER_PASSWORD_PASSWORD_PROCESS_H

#include "password/pool_server.h"

/**
 * Runs the process to its end, after fork, with signals blocked. On TERM it answers the request
 * that it works on, and ends; USR1 opens its log again.
 * @return the process's exit status
 */
int password_process_run(struct pool_channels *channels, struct pool_board *board);

#endif
