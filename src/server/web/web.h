/* SPDX-License-Identifier: MIT */
/*
 * HTTP/1.1 for those who watch the server: GET or HEAD of
 *   /metrics   all counters, in Prometheus' text format, 200 ms old at most
 *   /healthz   200 as long as a worker answers at all
 *   /readyz    200 while calls are taken, 503 during a drain
 * No TLS and no token: it belongs on an address that only they reach. Whoever else reaches it must
 * not hold up calls: a connection has one request and a bounded time, a worker has few of them.
 */
#ifndef ROSTERD_SERVER_WEB_WEB_H
#define ROSTERD_SERVER_WEB_WEB_H

#include <h2o.h>

#include "grpc/grpc.h"
#include "server/os/listen.h"
#include "shm/counters.h"
#include "shm/store.h"

enum {
    /* Connections at once, of one worker; a new one takes the place of the one that has made no
     * progress for the longest time. */
    WEB_CONNECTIONS_MAX = 64,
    WEB_REQUEST_MS = 5000, /* from accept to the end of the request's head */
    WEB_WRITE_MS = 10000,  /* for the response */
    WEB_LINGER_MS = 1000,  /* for the client to have read it and to close */
};

/** Starts to accept. One for a process; all that it is given must outlive it, but for the
 * listeners' descriptors, which become its own.
 * @param server whose clock and timers are used */
void web_open(h2o_loop_t *loop, struct grpc_server *server, struct listeners *listeners,
              const struct shm_counters *counters, struct shm_store *store);
/** From now on /readyz says 503. */
void web_drain(void);
/** Stops to accept and closes all connections. Before the server's end; without web_open(), too. */
void web_close(void);

#endif
