/* SPDX-License-Identifier: MIT */
/*
 * grpc.health.v1.Health: whether this worker serves, as a whole ("") and service by service. All
 * services serve from the start. A drain sets all to NOT_SERVING and ends the Watch calls: they
 * end only when the client ends them, and would delay the drain until its time-out.
 */
#ifndef ROSTERD_SERVICE_BUILTIN_HEALTH_H
#define ROSTERD_SERVICE_BUILTIN_HEALTH_H

#include "base/fault.h"
#include "grpc/grpc.h"
#include "service/core/service.h"

enum health_status { HEALTH_UNKNOWN, HEALTH_SERVING, HEALTH_NOT_SERVING, HEALTH_SERVICE_UNKNOWN };

enum { HEALTH_REQUEST_MAX = 8 * 1024 }; /* bytes of a request, which holds one name */

struct health; /* what health_service.create() makes; one per worker */

/** Sets the status of one service, or of the server as a whole (""), and sends it to all its
 * watchers. A hook for tests: the server itself changes statuses only when it drains, and then this
 * has no effect.
 * @return false: there is no such service */
bool health_set(struct health *health, const char *service, enum health_status status);
/** @return HEALTH_SERVICE_UNKNOWN: there is no such service */
enum health_status health_get(const struct health *health, const char *service, size_t len);

/** The service's methods; `health_service` is its row in the list of services. */
extern const struct grpc_service health_table;

#endif
