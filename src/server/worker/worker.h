/* SPDX-License-Identifier: MIT */
/* A worker process: one event loop that accepts connections and serves their calls. */
#ifndef ROSTERD_SERVER_WORKER_WORKER_H
#define ROSTERD_SERVER_WORKER_WORKER_H

#include "server/worker/worker_config.h"

/** The single byte that a worker writes to report_fd once it accepts connections. Any other
 * report is the reason why it cannot start. */
#define WORKER_READY '\x06'
/** A worker's loop turns at least this often, in ms, so that the master can see a worker that
 * makes no progress. */
enum { WORKER_TURN_MS = 1000 };

enum worker_exit {
    WORKER_EXIT_OK = 0,         /* it was told to stop, or has finished its drain */
    WORKER_EXIT_RESOURCES = 71, /* the start failed for want of memory or descriptors: a later
                                 * worker may start (sysexits' EX_OSERR) */
    WORKER_EXIT_CONFIG = 78,    /* the start failed, and would fail for the next worker, too: do
                                 * not respawn (EX_CONFIG) */
};

/**
 * Runs a worker to its end. Called in the forked child, while the signals that the master reads
 * are blocked. TERM and INT end the worker at once, QUIT lets running calls finish first (bounded
 * by drain-timeout), USR1 reopens its logs. The end of the master ends it at once.
 */
enum worker_exit worker_run(const struct worker_config *config);

#endif
