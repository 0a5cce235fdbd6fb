/* SPDX-License-Identifier: MIT */
/*
 * BatchCreateUsers: collects users and inserts up to SHM_BATCH_MAX of them in one commit. When a
 * call is cancelled, expires or breaks off, the users collected so far are still inserted, as if
 * each request had been served when it came. The reply waits until all that it says is on disk.
 */
#ifndef ROSTERD_SERVICE_USERS_BATCH_CREATE_H
#define ROSTERD_SERVICE_USERS_BATCH_CREATE_H

#include "grpc/grpc.h"
#include "service/users/commit_wait.h"
#include "service/users/parking.h"

/** Why a request made no user. */
struct batch_error {
    const char *reason; /* a static string, the service's, or in the call's arena */
    uint32_t position;  /* of the request in the stream, from 0 */
};

/** The call's state. */
struct batch_call {
    struct parking parking;
    struct commit_wait wait; /* of the reply */
    /* Users that wait for their insert, one after the other: position, body length, body. It is
     * freed with each insert, so that an idle stream holds no memory. */
    uint8_t *buffer;
    uint32_t buffer_len, buffer_cap;
    uint32_t waiting;  /* users in the buffer, SHM_BATCH_MAX at most */
    uint32_t chunk;    /* how many of them to insert first; 0: all */
    uint32_t position; /* of the next request */
    uint32_t created;  /* users */
    uint64_t version;  /* the last commit on which the reply rests; 0: none */
    struct batch_error *errors;
    uint32_t num_errors, errors_cap; /* BATCH_ERRORS_MAX at most */
    uint64_t more_errors;            /* that are not in `errors` */
    bool half_closed;
};

void batch_create_on_message(struct grpc_call *call, ProtobufCMessage *message);
void batch_create_on_half_close(struct grpc_call *call);
void batch_create_on_end(struct grpc_call *call, enum grpc_status status);

#endif
