/* SPDX-License-Identifier: MIT */
/*
 * Directory.BatchGetUsers: users by name, in the order asked, each as it is when the server looks
 * at it.
 *
 * A thousand large users take milliseconds. So the call works in slices, each charged to the turn
 * of its connection, like a listing (directory_list.h). Most calls need only one.
 */
#ifndef ROSTERD_SERVICE_DIRECTORY_DIRECTORY_BATCH_H
#define ROSTERD_SERVICE_DIRECTORY_DIRECTORY_BATCH_H

#include "grpc/grpc.h"
#include "service/directory/directory_users.h"
#include "user/uuid.h"

enum { DIRECTORY_BATCH_MAX = 1000 }; /* names (AIP-231) */

/** The call's state. */
struct directory_batch_call {
    struct directory_users users;
    unsigned fields;
    bool allow_missing;
    uint32_t next, num;        /* of ids */
    uint8_t (*ids)[UUID_SIZE]; /* those that the first slice has left, in the call's arena */
};

void directory_batch_on_message(struct grpc_call *call, ProtobufCMessage *message);
void directory_batch_on_writable(struct grpc_call *call);
void directory_batch_on_end(struct grpc_call *call, enum grpc_status status);

#endif
