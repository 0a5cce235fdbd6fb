/* SPDX-License-Identifier: MIT */
/* What the master gives a worker when it forks it. */
#ifndef ROSTERD_SERVER_WORKER_WORKER_CONFIG_H
#define ROSTERD_SERVER_WORKER_WORKER_CONFIG_H

#include "password/pool_channels.h"
#include "password/tries.h"
#include "server/config/options.h"
#include "server/os/listen.h"
#include "server/tls/tls.h"
#include "server/worker/admission.h"
#include "server/worker/balance.h"
#include "server/worker/wake.h"
#include "service/auth.h"
#include "service/observe/stats.h"
#include "shm/counters.h"
#include "shm/store.h"

/** Everything it points to outlives the worker. */
struct worker_config {
    unsigned number; /* from 0, unique within its generation; balance's index, and for messages */
    const struct options *options;
    struct listeners *listeners;     /* for gRPC; the worker takes over their descriptors */
    struct listeners *web_listeners; /* for /metrics and health pages; as above, may be empty */
    const struct auth *auth;         /* NULL: calls need no token */
    int access_log_fd;               /* -1: no access log */
    struct tls *tls;                 /* NULL: no TLS */
    struct tls *web_tls;             /* as tls, for the web listeners */
    struct admission *admission;
    unsigned place; /* the worker's row in `admission` */
    struct balance *balance;
    struct shm_store *store;
    struct shm_counters *counters;
    struct wake *wake;          /* NULL: the table is in memory only */
    int wake_fd;                /* the worker's own eventfd of `wake`; -1: none */
    struct pool_channels *pool; /* NULL: there are no processes for passwords */
    struct tries *tries;        /* NULL: as pool */
    struct stats_board *board;  /* written by the worker, read by the master */
    int death_fd;               /* becomes readable (end of file) when the master is gone */
    int report_fd;              /* pipe to the master: WORKER_READY, or why the start failed */
};

#endif
