/* SPDX-License-Identifier: MIT */
/*
 * grpc.health.v1.Health: whether this worker serves, as a whole ("") and service
 * by service. All of them serve from the start; a drain sets all to NOT_SERVING
 * and ends the Watch calls, for a call that never ends by itself would
 * hold the drain up until its time-out.
 */
#ifndef ROSTERD_SERVICE_BUILTIN_HEALTH_H
#define ROSTERD_SERVICE_BUILTIN_HEALTH_H

#include "base/fault.h"
#include "grpc/grpc.h"

enum health_status { HEALTH_UNKNOWN, HEALTH_SERVING, HEALTH_NOT_SERVING, HEALTH_SERVICE_UNKNOWN };

enum { HEALTH_REQUEST_MAX = 8 * 1024 }; /* bytes of a question, which holds a name */

struct health; /* one per worker */

/** Knows the services of `names` (static strings) and the whole server; all serve.
 * @return NULL when memory is exhausted */
struct health *health_create(const char *const *names, size_t count);
/** After the server's end. */
void health_destroy(struct health *health);
/** Adds the service to the server: see grpc_server_add_service(). */
bool health_add(struct health *health, struct grpc_server *server, struct fault *fault);

/** Tells those who watch it. service "" is the server as a whole; false where it is unknown. */
bool health_set(struct health *health, const char *service, enum health_status status);
enum health_status health_get(const struct health *health, const char *service, size_t len);
/** For good: everything is NOT_SERVING, watchers are told so and their calls end UNAVAILABLE. */
void health_drain(struct health *health);

extern const struct grpc_service health_table;

#endif
