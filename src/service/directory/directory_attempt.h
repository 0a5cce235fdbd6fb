/* SPDX-License-Identifier: MIT */
/*
 * One try of a write of the directory: what it asks of the store. An update reads the newest
 * version of the user, whoever may see it yet, changes it and writes it only if the user still has
 * that version; otherwise it begins again. So two updates of different fields never undo each
 * other.
 *
 * The hash of a password is on the stack while the user is encoded, and nowhere after that.
 */
#ifndef ROSTERD_SERVICE_DIRECTORY_DIRECTORY_ATTEMPT_H
#define ROSTERD_SERVICE_DIRECTORY_DIRECTORY_ATTEMPT_H

#include "service/directory/directory_write_call.h"

/* Each is a directory_attempt. */
int directory_attempt_create(struct grpc_call *call, struct directory_write_call *write,
                             struct shm_conflict *conflict);
/** Changes the fields of write->fields; DIRECTORY_HAS_PASSWORD stands for the secret. */
int directory_attempt_update(struct grpc_call *call, struct directory_write_call *write,
                             struct shm_conflict *conflict);
int directory_attempt_delete(struct grpc_call *call, struct directory_write_call *write,
                             struct shm_conflict *conflict);

/** Whether the call's request was done, before anything else is looked at: what it changed may be
 * the reason why it would be refused now. @return as a directory_attempt; SHM_ENOENT: it was not */
int directory_find_repeat(struct grpc_call *call, struct directory_write_call *write,
                          struct shm_conflict *conflict);
/** @return false: write->reason says why the user is refused */
bool directory_check_record(struct directory_write_call *write, const struct user_record *record);

#endif
