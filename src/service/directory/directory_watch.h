/* SPDX-License-Identifier: MIT */
/*
 * Directory.WatchUsers: a stream of changes.
 *
 * With send_initial the call first lists the users of a snapshot, like UserService.ListUsers
 * (users/list_users.h), and the changes after exactly that snapshot's version follow. The place in
 * the feed is taken when the listing begins: if the ring does not have all changes any more when it
 * ends, the call ends. directory_changes.h says what is told, directory_watches.h when.
 *
 * Nothing is read from the feed while the client does not read: a slow client costs constant
 * memory. When the feed has overwritten what it has not been told, the call ends with OUT_OF_RANGE.
 */
#ifndef ROSTERD_SERVICE_DIRECTORY_DIRECTORY_WATCH_H
#define ROSTERD_SERVICE_DIRECTORY_DIRECTORY_WATCH_H

#include "grpc/grpc.h"
#include "service/directory/directory_changes.h"
#include "service/directory/directory_watches.h"
#include "service/users/listings.h"
#include "service/users/parking.h"
#include "shm/store.h"

/** The call's state. */
struct directory_watch_call {
    struct directory_watch watch;
    struct parking parking; /* until a pin is free for the snapshot */
    struct listing listing; /* open: the users of the snapshot are told first */
    struct shm_cursor cursor;
    struct directory_place place;
};

void directory_watch_on_message(struct grpc_call *call, ProtobufCMessage *message);
void directory_watch_on_writable(struct grpc_call *call);
void directory_watch_on_end(struct grpc_call *call, enum grpc_status status);

#endif
