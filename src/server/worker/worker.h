/* SPDX-License-Identifier: MIT */
/* A worker process: one event loop that accepts connections and serves them. */
#ifndef ROSTERD_SERVER_WORKER_WORKER_H
#define ROSTERD_SERVER_WORKER_WORKER_H

#include "server/config/options.h"
#include "server/os/listen.h"
#include "server/tls/tls.h"
#include "server/worker/admission.h"
#include "server/worker/balance.h"
#include "service/auth.h"
#include "service/observe/stats.h"
#include "shm/counters.h"
#include "shm/store.h"

struct worker_config {
    unsigned number; /* from 0, for people */
    const struct options *options;
    struct listeners *listeners;     /* whose descriptors the worker takes */
    struct listeners *web_listeners; /* of /metrics and its like; may be none */
    const struct auth *auth;         /* NULL: whoever comes may call */
    int access_log_fd;               /* -1: no access log */
    struct tls *tls;                 /* NULL: plain */
    struct admission *admission;
    unsigned place; /* in it */
    struct balance *balance;
    struct shm_store *store;
    struct shm_counters *counters;
    struct stats_board *board; /* shared with the master */
    int death_fd;              /* readable when the master is gone */
    int report_fd;             /* towards the master: WORKER_READY, or why not */
};

/** The one byte that a worker reports once it accepts; anything else is a text that says why it
 * cannot, and its exit status is then WORKER_EXIT_CONFIG. */
#define WORKER_READY '\x06'
/** A worker's loop turns at least this often: that it does not stand still can be seen. */
enum { WORKER_TURN_MS = 1000 };
/** The same would happen to the next one: do not respawn. */
enum { WORKER_EXIT_CONFIG = 78 };
/** There was no memory, or no descriptor, for it: the next one may find some. (EX_OSERR) */
enum { WORKER_EXIT_RESOURCES = 71 };

/**
 * Called in the forked child, with the signals that the master
 * reads blocked. TERM and INT end it at once, QUIT when its calls are done; USR1 reopens its logs.
 * @return the process's exit status
 */
int worker_run(const struct worker_config *config);

#endif
