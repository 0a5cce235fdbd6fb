/* SPDX-License-Identifier: MIT */
/* A request's User as a record (user/user_record.h), and a copy of it for a call that waits. */
#ifndef ROSTERD_SERVICE_DIRECTORY_DIRECTORY_RECORD_H
#define ROSTERD_SERVICE_DIRECTORY_DIRECTORY_RECORD_H

#include "grpc/grpc.h"
#include "proto/rosterd/directory/v1/directory.pb-c.h"
#include "user/user_record.h"

/** Describes what a client may set; the texts stay the request's. More roles or labels than a user
 * may have are counted, so that the check refuses them, but not listed. */
struct user_record directory_record_of(const Rosterd__Directory__V1__User *user,
                                       struct user_record_room *room);

/** Copies a record without its secret. A record that has passed the checks has room.
 * @return NULL: out of memory, or a field that is not written is too long */
const struct user_record *directory_record_keep(struct grpc_arena *arena,
                                                const struct user_record *from);

#endif
