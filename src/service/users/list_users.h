/* SPDX-License-Identifier: MIT */
/*
 * ListUsers: one page of one snapshot, sent as fast as the client reads. listings.h says when a
 * snapshot ends.
 *
 * A listing may have to pass any number of deleted users that an older snapshot keeps in place. It
 * passes them in steps (shm/store.h). Each step is charged to the turn of the call's connection,
 * and the listing continues like one that has waited for its client.
 */
#ifndef ROSTERD_SERVICE_USERS_LIST_USERS_H
#define ROSTERD_SERVICE_USERS_LIST_USERS_H

#include "grpc/grpc.h"
#include "service/users/listings.h"
#include "service/users/parking.h"
#include "shm/store.h"
#include "user/uuid.h"

/** The call's state. */
struct list_call {
    struct parking parking; /* until a pin is free for the snapshot */
    struct listing listing;
    struct shm_cursor cursor;
    uint32_t left;               /* users still to send on this page */
    bool continues;              /* the page follows an earlier one, whose last user was: */
    uint8_t after_id[UUID_SIZE]; /* (once the page is sent: this page's last user) */
    uint64_t after_seq;
};

void list_users_on_message(struct grpc_call *call, ProtobufCMessage *message);
void list_users_on_writable(struct grpc_call *call);
void list_users_on_end(struct grpc_call *call, enum grpc_status status);

#endif
