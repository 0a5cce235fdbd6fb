/* SPDX-License-Identifier: MIT */
/* All that is served: one table, which the runtime's methods, the counters' names, health and
 * reflection are made from. A new service is a line in services.c. */
#ifndef ROSTERD_SERVICE_SERVICES_H
#define ROSTERD_SERVICE_SERVICES_H

#include "base/fault.h"
#include "service/builtin/health.h"
#include "service/users/user_service.h"

/** In the order in which they are added. */
const struct grpc_service *const *services_all(size_t *count);

struct services; /* one per worker */

/** Creates all services and adds them to the server. @return NULL: failed, and `fault` is filled */
struct services *services_create(struct grpc_server *server,
                                 const struct user_service_config *users, struct fault *fault);
/** After the server's end; NULL is nothing to do. */
void services_destroy(struct services *services);
struct health *services_health(struct services *services);

#endif
