/* SPDX-License-Identifier: MIT */
/*
 * How a worker accepts connections: when it is its turn (balance.h), which clients it admits
 * (admission.h), and what it does when descriptors or memory run out.
 */
#ifndef ROSTERD_SERVER_WORKER_ACCEPT_H
#define ROSTERD_SERVER_WORKER_ACCEPT_H

#include "base/fault.h"
#include "grpc/grpc.h"
#include "server/worker/worker_config.h"

struct acceptor; /* one per worker */

/**
 * Starts to accept on config->listeners, whose descriptors it takes over. Everything it is given
 * must outlive it.
 * @return NULL with fault set: out of memory or out of descriptors
 */
struct acceptor *accept_start(const struct worker_config *config, h2o_loop_t *loop,
                              struct grpc_server *server, struct fault *fault);
/** Closes the listeners; accepted connections stay. Must be called before the server is destroyed.
 * Further calls do nothing, and so does NULL. */
void accept_stop(struct acceptor *acceptor);
/** Frees it. Must be stopped, and all accepted connections closed: after the server is destroyed.
 * NULL is allowed. */
void accept_destroy(struct acceptor *acceptor);

/** How many connections were refused, by the bound that they met. */
struct accept_refused {
    uint64_t full;         /* max-connections */
    uint64_t address_full; /* max-connections-per-address */
};
const struct accept_refused *accept_refused(const struct acceptor *acceptor);

#endif
