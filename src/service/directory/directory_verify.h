/* SPDX-License-Identifier: MIT */
/*
 * VerifyPassword: whether a password is the one of a user who may log in.
 *
 * Whatever the reason is that it is not (another password, none set, a disabled user, no such
 * user), the answer is the same, byte for byte, and costs a process for passwords the same work.
 * Only a hash that costs more than usual, until it is replaced, takes longer.
 *
 * Wrong passwords are counted by the key that the request names and by the client's address
 * (password/tries.h). Keys of users who do not exist count like others, and the keys of one user
 * count apart: if an e-mail were refused because of tries with a user name, this would say that
 * both belong to one user. So whoever knows all three keys of a user has three times the tries.
 *
 * A password that is verified has a try, and gives it back if it is right. A call that finds all
 * tries in such hands waits until enough of them are back, or are used: so right passwords, however
 * many come at a time, are not refused for each other's sake.
 *
 * A right password is accepted only if the user still has the hash that was verified, when the
 * answer comes. If it has another one meanwhile, that one is verified.
 */
#ifndef ROSTERD_SERVICE_DIRECTORY_DIRECTORY_VERIFY_H
#define ROSTERD_SERVICE_DIRECTORY_DIRECTORY_VERIFY_H

#include "base/timer.h"
#include "grpc/grpc.h"
#include "password/tries.h"
#include "service/passwords/password_work.h"
#include "user/user.h"

/** What a VerifyPassword asks for. */
enum directory_verify_by { VERIFY_BY_NAME, VERIFY_BY_USERNAME, VERIFY_BY_EMAIL };

struct verify_secret; /* the password and the user's hash, in memory for secrets */

/** The call's state. */
struct directory_verify_call {
    struct password_work work;
    enum directory_verify_by by;
    uint8_t value[USER_KEY_MAX];    /* the id, or the key as the index has it */
    uint32_t value_len;             /* 0: no user can have the key */
    unsigned rounds;                /* hashes that were verified */
    uint64_t user_key, address_key; /* tries_key() */
    bool has_address;
    struct tries_pass of_user, of_address;
    struct timer later;     /* the next look for a try */
    struct grpc_call *call; /* for the timer */
    uint64_t waits_until;   /* ms; 0: the call does not wait for a try */
    struct verify_secret *secret;
};

void directory_verify_on_message(struct grpc_call *call, ProtobufCMessage *message);
void directory_verify_on_end(struct grpc_call *call, enum grpc_status status);

#endif
