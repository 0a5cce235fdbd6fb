/* SPDX-License-Identifier: MIT */
/*
 * How a worker takes connections: when it is its turn (balance.h), whom it lets in (admission.h),
 * and what it does where there are no descriptors left. One for a process.
 */
#ifndef ROSTERD_SERVER_WORKER_ACCEPT_H
#define ROSTERD_SERVER_WORKER_ACCEPT_H

#include "grpc/grpc.h"
#include "server/worker/worker.h"

/** Starts to accept; all that it is given must outlive it, but for the listeners' descriptors,
 * which become its own.
 * @return false: out of descriptors; accept_close() is to be called all the same */
bool accept_open(const struct worker_config *config, h2o_loop_t *loop, struct grpc_server *server);
/** Stops; connections that were taken stay. Before the server's end, and more than once is allowed.
 */
void accept_close(void);

/** Who was refused. */
struct accept_counts {
    uint64_t full, address_full;
};
const struct accept_counts *accept_counts(void);

#endif
