/* SPDX-License-Identifier: MIT */
/* A worker's services: all of SERVICE_LIST (service/core/service.h). */
#ifndef ROSTERD_SERVICE_SERVICES_H
#define ROSTERD_SERVICE_SERVICES_H

#include "base/fault.h"
#include "service/core/service.h"

/** The gRPC services of all rows of the list, in its order. */
const struct grpc_service *const *services_all(size_t *count);

struct services; /* one per worker */

/**
 * Makes all services and adds their methods to the server.
 * @param config without `names`
 * @return NULL: see `fault`
 */
struct services *services_create(struct grpc_server *server, const struct service_config *config,
                                 struct fault *fault);
/** Called after the server was destroyed. NULL: does nothing. */
void services_destroy(struct services *services);
/** Ends the calls that only the client can end, which would otherwise delay a drain. */
void services_drain(struct services *services);
/** Answers the calls that wait for commits that are on disk by now. To be called when the journal
 * has woken the worker, and after each turn of the loop, before it sleeps. */
void services_settle(struct services *services);

#endif
