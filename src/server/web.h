/* SPDX-License-Identifier: MIT */
/*
 * HTTP for those who watch the server, by libh2o's own server beside ours: GET or HEAD of
 *   /metrics   all counters, in Prometheus' text format
 *   /healthz   200 as long as a worker answers at all
 *   /readyz    200 while calls are taken, 503 during a drain
 * No TLS and no token: it belongs on an address that only they reach.
 */
#ifndef ROSTERD_SERVER_WEB_H
#define ROSTERD_SERVER_WEB_H

#include <h2o.h>

#include "server/listen.h"
#include "shm/counters.h"
#include "shm/store.h"

/** Connections at once, of one worker; beyond, new ones are closed. */
enum { WEB_CONNECTIONS_MAX = 64 };

/** Starts to accept. One for a process; all that it is given must outlive it, but for the
 * listeners' descriptors, which become its own. */
void web_open(h2o_loop_t *loop, struct listeners *listeners, const struct shm_counters *counters,
              struct shm_store *store);
/** From now on /readyz says 503. */
void web_drain(void);
/** Stops to accept. Connections that are open end with the process. */
void web_close(void);

#endif
