/* SPDX-License-Identifier: MIT */
/*
 * The tries of a VerifyPassword: one of the key that the request names, and one of the client's
 * address (password/tries.h). Keys of users who do not exist count like others, and the keys of one
 * user count apart: if an e-mail were refused because of tries with a user name, this would say
 * that both belong to one user. So whoever knows all three keys of a user has three times the
 * tries.
 *
 * A password that is verified has its tries, and gives them back if it is right. A call that finds
 * all tries in such hands waits until enough of them are back, or are used: so right passwords,
 * however many come at a time, are not refused for each other's sake.
 */
#ifndef ROSTERD_SERVICE_DIRECTORY_VERIFY_TRIES_H
#define ROSTERD_SERVICE_DIRECTORY_VERIFY_TRIES_H

#include "base/timer.h"
#include "grpc/grpc.h"
#include "password/tries.h"

/** What a VerifyPassword asks for. */
enum directory_verify_by { VERIFY_BY_NAME, VERIFY_BY_USERNAME, VERIFY_BY_EMAIL };

/** A part of the call's state. Zeroed: it has no try, and waits for none. */
struct verify_tries {
    uint64_t user_key, address_key; /* tries_key() */
    bool has_address;
    struct tries_pass of_user, of_address;
    struct timer later;   /* the next look for a try */
    uint64_t waits_until; /* ms; 0: the call does not wait */
    struct grpc_call *call;
    void (*taken)(struct grpc_call *call);
};

/**
 * Takes the tries, now or later. `taken` is called when the call has them, maybe from inside this
 * function. Otherwise the call ends with RESOURCE_EXHAUSTED, and a RetryInfo if all are used.
 * @param key the bytes of the index, or of the request if no user can have the key
 */
void verify_tries_take(struct grpc_call *call, struct verify_tries *mine,
                       enum directory_verify_by by, const void *key, size_t len,
                       void (*taken)(struct grpc_call *call));
/** The password is right, or was not verified. */
void verify_tries_give_back(struct grpc_call *call, struct verify_tries *mine);
/** At the end of the call: tries that it still has stay used, because the password is wrong, or
 * nobody waited for the answer. */
void verify_tries_end(struct grpc_call *call, struct verify_tries *mine);

#endif
