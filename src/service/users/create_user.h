/* SPDX-License-Identifier: MIT */
/*
 * CreateUser: checks the request and inserts the user. A call that finds the writer lock taken is
 * parked; one whose user is not on disk yet waits for that.
 *
 * The password is discarded, unless the option store-passwords is on: then it is hashed first, by a
 * process beside the workers.
 */
#ifndef ROSTERD_SERVICE_USERS_CREATE_USER_H
#define ROSTERD_SERVICE_USERS_CREATE_USER_H

#include "grpc/grpc.h"
#include "service/passwords/password_work.h"
#include "service/users/commit_wait.h"
#include "service/users/parking.h"
#include "shm/store.h"

struct create_password; /* of a call whose password is stored */

/** The call's state. Small: most calls need nothing of it, and it lies in the call itself. */
struct create_call {
    struct parking parking;
    struct commit_wait wait;
    struct shm_new_user user;         /* while parked or waiting; its body is in the call's arena */
    int result;                       /* while waiting: of the insert, SHM_OK or SHM_EKEY */
    unsigned key;                     /* that is taken */
    struct create_password *password; /* in the call's arena; NULL: none is stored */
};

void create_user_on_message(struct grpc_call *call, ProtobufCMessage *message);
void create_user_on_end(struct grpc_call *call, enum grpc_status status);

#endif
