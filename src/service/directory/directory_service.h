/* SPDX-License-Identifier: MIT */
/*
 * rosterd.directory.v1.Directory: users can be found, changed and deleted. The same users as
 * UserService's, and the same state of a worker (service/users/user_service_state.h).
 *
 * A user's etag is the number of the commit that wrote it, as hexadecimal text in quotes (AIP-154,
 * RFC 9110 8.8.3). So a condition on it is a compare-and-set of the store.
 */
#ifndef ROSTERD_SERVICE_DIRECTORY_DIRECTORY_SERVICE_H
#define ROSTERD_SERVICE_DIRECTORY_DIRECTORY_SERVICE_H

#include "grpc/grpc.h"

extern const struct grpc_service directory_service_table;

#endif
