/* SPDX-License-Identifier: MIT */
/*
 * The listener for monitoring. It answers GET and HEAD over HTTP/1.1:
 *   /metrics   all counters, in Prometheus' text format, at most 200 ms old
 *   /healthz   200 as long as a worker answers at all
 *   /readyz    200 while calls are accepted, 503 during a drain
 * It has TLS, and tokens or client certificates for /metrics, only where the configuration demands
 * them; otherwise it belongs on an address that only the monitoring reaches. Any other client that
 * reaches it must not delay calls: a connection is good for one request and has bounded time, and a
 * worker has few connections and begins few TLS handshakes. A request may have a token: its bytes
 * are in secret memory, and are overwritten as soon as it is answered.
 */
#ifndef ROSTERD_SERVER_WEB_WEB_H
#define ROSTERD_SERVER_WEB_WEB_H

#include <h2o.h>
#include <openssl/ssl.h>
#include <stdbool.h>

#include "grpc/grpc.h"
#include "server/os/listen.h"
#include "service/auth.h"
#include "shm/counters.h"
#include "shm/store.h"

enum {
    /* Open connections of a worker. A new connection beyond that replaces the connection that has
     * made no progress for the longest time. */
    WEB_CONNECTIONS_MAX = 64,
    WEB_SIGN_MS = 10,      /* from one TLS handshake that is answered to the next, in a worker */
    WEB_REQUEST_MS = 5000, /* from accept to the end of the request's head, TLS included */
    WEB_WRITE_MS = 10000,  /* for the response */
    WEB_LINGER_MS = 1000,  /* for the client to read it and close */
    WEB_END_MS = 1000,     /* how long a worker that is done waits for open connections */
};

struct web;

struct web_tls {
    SSL_CTX *context;              /* for TCP sockets; must outlive the web; NULL: no TLS */
    bool metrics_need_certificate; /* /metrics needs a client's certificate */
};

/**
 * Starts to accept connections. Everything passed in must outlive the result, except the listeners:
 * web_open() takes over their descriptors.
 * @param server its clock and timers are used
 * @param auth whose tokens /metrics needs; NULL: it needs none
 * @param tls is copied
 * @return NULL: out of memory; the listeners keep their descriptors
 */
struct web *web_open(h2o_loop_t *loop, struct grpc_server *server, struct listeners *listeners,
                     const struct shm_counters *counters, struct shm_store *store,
                     const struct auth *auth, const struct web_tls *tls);
/** Closes the listeners: other workers have them, too. Connections that are open go on. NULL is
 * left alone. */
void web_stop_accepting(struct web *web);
/** From now on /readyz answers 503. */
void web_drain(struct web *web);
/** Whether no connection is open that web_close() would cut off before its client has an answer. */
bool web_is_idle(const struct web *web);
/** Closes all connections and frees everything. Call it before the server is destroyed. NULL is
 * left alone. */
void web_close(struct web *web);

#endif
