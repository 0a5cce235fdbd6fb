/* SPDX-License-Identifier: MIT */
/*
 * CreateUser, UpdateUser and DeleteUser of the directory.
 *
 * Each is tried at once. If the writer lock is taken the call is parked and tries again; if its
 * commit, or the commit that refuses it, is not on disk yet, it waits for that before it is
 * answered. An update reads the newest version of the user, whoever may see it yet, changes it and
 * writes it only if the user still has that version; otherwise it begins again. So two updates of
 * different fields never undo each other.
 *
 * A password is hashed first, by a process beside the workers. A hash is in memory for secrets
 * while its call waits, and nowhere after the user is written.
 */
#ifndef ROSTERD_SERVICE_DIRECTORY_DIRECTORY_WRITE_H
#define ROSTERD_SERVICE_DIRECTORY_DIRECTORY_WRITE_H

#include "grpc/grpc.h"
#include "service/directory/directory_request.h"
#include "service/passwords/credential.h"
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

void directory_create_on_message(struct grpc_call *call, ProtobufCMessage *message);
void directory_update_on_message(struct grpc_call *call, ProtobufCMessage *message);
void directory_delete_on_message(struct grpc_call *call, ProtobufCMessage *message);
void directory_write_on_end(struct grpc_call *call, enum grpc_status status);

/* ---- for SetPassword ---- */

/** Changes the fields of write->fields; DIRECTORY_HAS_PASSWORD stands for the secret. */
int directory_attempt_update(struct grpc_call *call, struct directory_write_call *write,
                             struct shm_conflict *conflict);
/** Makes write->attempt with a checked credential, which is not CREDENTIAL_NONE. A password is
 * hashed before. */
void directory_write_credential(struct grpc_call *call, const struct credential *credential);
/** Answers a call whose write->result is known, when what it rests on is on disk. */
void directory_write_settle(struct grpc_call *call, const struct shm_conflict *conflict);
/** Reads the etag of a request. @return false: the call has ended */
bool directory_take_etag(struct grpc_call *call, const char *field,
                         const ProtobufCBinaryData *etag);

#endif
