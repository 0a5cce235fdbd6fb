/* SPDX-License-Identifier: MIT */
/*
 * userservice.UserService: the five calls, where gRPC and the user store meet. Reads never wait. A
 * write that finds the writer lock taken is parked on a timer for a second at most, and a write
 * that is not on disk yet is answered when it is (commit_wait.h), while the worker serves others.
 */
#ifndef ROSTERD_SERVICE_USERS_USER_SERVICE_H
#define ROSTERD_SERVICE_USERS_USER_SERVICE_H

#include "base/fault.h"
#include "grpc/grpc.h"
#include "service/core/service.h"

/** The service's methods; `user_service` is its row in the list of services. */
extern const struct grpc_service user_service_table;

#endif
