/* SPDX-License-Identifier: MIT */
/* GetUser and LookupUser: each is answered within its callback. */
#ifndef ROSTERD_SERVICE_DIRECTORY_DIRECTORY_READ_H
#define ROSTERD_SERVICE_DIRECTORY_DIRECTORY_READ_H

#include "grpc/grpc.h"
#include "shm/store.h"

void directory_get_on_message(struct grpc_call *call, ProtobufCMessage *message);
void directory_lookup_on_message(struct grpc_call *call, ProtobufCMessage *message);

/** Ends the call with NOT_FOUND, or INVALID_ARGUMENT for a name that no user can have.
 * @param field the request's, that has the name */
void directory_refuse_name(struct grpc_call *call, const char *field,
                           const ProtobufCBinaryData *name);
/** Ends the call with FAILED_PRECONDITION: users cannot be found by this key. */
void directory_refuse_key(struct grpc_call *call, unsigned key);

#endif
