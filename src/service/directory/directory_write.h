/* SPDX-License-Identifier: MIT */
/*
 * CreateUser, UpdateUser and DeleteUser of the directory.
 *
 * Each is tried at once. If the writer lock is taken the call is parked and tries again; if its
 * commit, or the commit that refuses it, is not on disk yet, it waits for that before it is
 * answered (directory_write_answer.h). What a try asks of the store is directory_attempt.h.
 *
 * A password is hashed first, by a process beside the workers. A hash is in memory for secrets
 * while its call waits, and nowhere after the user is written.
 */
#ifndef ROSTERD_SERVICE_DIRECTORY_DIRECTORY_WRITE_H
#define ROSTERD_SERVICE_DIRECTORY_DIRECTORY_WRITE_H

#include "grpc/grpc.h"
#include "service/directory/directory_write_call.h"
#include "service/passwords/credential.h"
#include "shm/store.h"

void directory_create_on_message(struct grpc_call *call, ProtobufCMessage *message);
void directory_update_on_message(struct grpc_call *call, ProtobufCMessage *message);
void directory_delete_on_message(struct grpc_call *call, ProtobufCMessage *message);
void directory_write_on_end(struct grpc_call *call, enum grpc_status status);

/* ---- for SetPassword ---- */

/** Makes write->attempt with a checked credential, which is not CREDENTIAL_NONE. A password is
 * hashed before. */
void directory_write_credential(struct grpc_call *call, const struct credential *credential);
/** Answers a call whose write->result is known, when what it rests on is on disk. */
void directory_write_settle(struct grpc_call *call, const struct shm_conflict *conflict);
/** Reads the etag of a request. @return false: the call has ended */
bool directory_take_etag(struct grpc_call *call, const char *field,
                         const ProtobufCBinaryData *etag);

#endif
