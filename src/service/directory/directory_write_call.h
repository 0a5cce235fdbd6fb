/* SPDX-License-Identifier: MIT */
/* The state of a CreateUser, UpdateUser, DeleteUser or SetPassword of the directory. */
#ifndef ROSTERD_SERVICE_DIRECTORY_DIRECTORY_WRITE_CALL_H
#define ROSTERD_SERVICE_DIRECTORY_DIRECTORY_WRITE_CALL_H

#include "grpc/grpc.h"
#include "service/directory/directory_request.h"
#include "service/passwords/password_work.h"
#include "service/users/commit_wait.h"
#include "service/users/parking.h"
#include "shm/store.h"
#include "user/user_record.h"
#include "user/uuid.h"

struct directory_write_call;

/** One try of a write. @return the store's result; conflict has the commit that the answer rests on
 */
typedef int directory_attempt(struct grpc_call *call, struct directory_write_call *write,
                              struct shm_conflict *conflict);

/** The call's state. A call that neither is parked nor waits allocates nothing. */
struct directory_write_call {
    struct parking parking;
    struct commit_wait wait;
    directory_attempt *attempt;
    uint8_t id[UUID_SIZE];
    bool drawn; /* the server chose the id */
    bool allow_missing;
    uint64_t if_version; /* of the request's etag; 0: none */
    struct directory_request request;
    unsigned fields; /* of an update: which ones change */
    /* The request's user: its texts are the request's, or a copy of a call that is parked. */
    const struct user_record *record;
    bool kept;        /* it is that copy */
    bool with_secret; /* of a create: the user gets a password */
    /* The hash of the user's password: the request's text, or in secret_memory. */
    struct user_text secret;
    uint8_t *secret_memory; /* USER_SECRET_MAX bytes of base/secret.h, or NULL */
    struct password_work work;
    int result;
    unsigned key;          /* after SHM_EKEY */
    const char *reason;    /* after SHM_EINVAL: why the user is refused */
    bool of_roles;         /* the reason is about roles, and does not name them as the field */
    uint8_t *bytes;        /* the user as it is written; a copy in the arena while the call waits */
    struct shm_user wrote; /* of a create or an update; lies in `bytes` */
};

#endif
