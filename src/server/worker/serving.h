/* SPDX-License-Identifier: MIT */
/*
 * What a worker serves calls with, made from the options: the event loop, the gRPC server, the
 * services on it, the interceptors around every call (counters, access log, tokens), and the
 * worker's actor in the segment.
 */
#ifndef ROSTERD_SERVER_WORKER_SERVING_H
#define ROSTERD_SERVER_WORKER_SERVING_H

#include "base/fault.h"
#include "grpc/grpc.h"
#include "password/pool_client.h"
#include "server/worker/worker_config.h"
#include "service/core/chain.h"
#include "service/core/password_counts.h"
#include "service/observe/access_log.h"
#include "service/services.h"

struct serving {
    h2o_loop_t *loop;
    struct shm_actor *actor;
    struct grpc_server *server;
    struct pool_client *passwords; /* NULL: this worker verifies none */
    struct password_counts password_counts;
    struct services *services;
    struct service_counts counts;
    struct stats *stats;
    struct access_log *access_log; /* NULL: none is written */
    struct chain *chain;
    bool out_of_memory; /* why serving_open() failed: a later worker may succeed */
};

/**
 * After fork, with signals blocked. Joins the segment and publishes its slot on the board.
 * @param serving zeroed; on failure, too, serving_close() must be called
 */
bool serving_open(struct serving *serving, const struct worker_config *config, struct fault *fault);
/** Ends all calls and connections, writes the last lines of the access log, and leaves the
 * segment. */
void serving_close(struct serving *serving);

#endif
