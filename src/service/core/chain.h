/* SPDX-License-Identifier: MIT */
/*
 * The chain of interceptors around every call. An interceptor is a function ..._step() in a file of
 * its own, and a row of CHAIN_STEPS.
 */
#ifndef ROSTERD_SERVICE_CORE_CHAIN_H
#define ROSTERD_SERVICE_CORE_CHAIN_H

#include "grpc/grpc.h"

struct access_log;
struct auth;
struct stats;

/** What the steps work on; all that it points to must outlive the server. */
struct chain_config {
    struct grpc_server *server;
    struct stats *stats;           /* NULL: calls are not counted */
    struct access_log *access_log; /* NULL: calls are not logged */
    const struct auth *auth;       /* NULL: calls need no token */
};

struct chain; /* one per worker */

/** Adds all steps to the server. All services must have been added before.
 * @return NULL: out of memory */
struct chain *chain_create(const struct chain_config *config);
/** Called after the server was destroyed. NULL: does nothing. */
void chain_destroy(struct chain *chain);

/** Fills in the interceptor, or leaves it empty: then the step is not part of the chain. `config`
 * lives as long as the chain. */
typedef void chain_step(struct grpc_interceptor *step, const struct chain_config *config);

/*
 * The steps, the outermost first: it sees how all others decided. So calls that authentication
 * refuses are counted and logged.
 */
#define CHAIN_STEPS(STEP)                                                                          \
    STEP(access_log_step)                                                                          \
    STEP(stats_step)                                                                               \
    STEP(auth_step)

#define CHAIN_DECLARE(step) chain_step step;
CHAIN_STEPS(CHAIN_DECLARE)
#undef CHAIN_DECLARE

#endif
