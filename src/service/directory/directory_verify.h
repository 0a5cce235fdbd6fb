/* SPDX-License-Identifier: MIT */
/*
 * VerifyPassword: whether a password is the one of a user who may log in.
 *
 * Whatever the reason is that it is not (another password, none set, a disabled user, no such
 * user), the answer is the same, byte for byte, and costs a process for passwords the same work.
 * Only a hash that costs more than usual, until it is replaced, takes longer.
 *
 * verify_tries.h has the bounds of wrong passwords.
 *
 * A right password is accepted only if the user still has the hash that was verified, when the
 * answer comes. If it has another one meanwhile, that one is verified.
 */
#ifndef ROSTERD_SERVICE_DIRECTORY_DIRECTORY_VERIFY_H
#define ROSTERD_SERVICE_DIRECTORY_DIRECTORY_VERIFY_H

#include "grpc/grpc.h"
#include "service/directory/verify_tries.h"
#include "service/passwords/password_work.h"
#include "user/user.h"

struct verify_secret; /* the password and the user's hash, in memory for secrets */

/** The call's state. */
struct directory_verify_call {
    struct password_work work;
    enum directory_verify_by by;
    uint8_t value[USER_KEY_MAX]; /* the id, or the key as the index has it */
    uint32_t value_len;          /* 0: no user can have the key */
    unsigned rounds;             /* hashes that were verified */
    struct verify_tries tries;
    struct verify_secret *secret;
};

void directory_verify_on_message(struct grpc_call *call, ProtobufCMessage *message);
void directory_verify_on_end(struct grpc_call *call, enum grpc_status status);

#endif
