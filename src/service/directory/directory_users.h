/* SPDX-License-Identifier: MIT */
/*
 * A reply with several users, field 1 of its message. It is built in memory of its own, because
 * neither its size is known before nor whether it will be sent at all. The memory of a large reply
 * becomes the stream's, without being copied.
 */
#ifndef ROSTERD_SERVICE_DIRECTORY_DIRECTORY_USERS_H
#define ROSTERD_SERVICE_DIRECTORY_DIRECTORY_USERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "grpc/grpc.h"
#include "shm/store.h"

enum { DIRECTORY_USERS_REST_MAX = 128 };

/** Zeroed: no user. */
struct directory_users {
    uint8_t *bytes;
    size_t len, cap; /* of `bytes`. The first GRPC_GIVE_HEAD bytes belong to the runtime */
    size_t last;     /* bytes of the user that was added last */
    size_t expected; /* users that will be added, as far as the caller knows: memory for them */
};

/** @return false: none was added */
static inline bool directory_users_any(const struct directory_users *users)
{
    return users->len != 0;
}

/** Appends a user. The memory counts as held by the call.
 * @return false: the connection holds too much, or there is no memory; nothing was appended */
bool directory_users_add(struct grpc_call *call, struct directory_users *users,
                         const struct shm_user *user, unsigned fields);
/** The status text for that. */
extern const char directory_no_room[];
/**
 * Sends the users, and the message's other fields behind them, as the call's reply. A large reply
 * is not compressed: that would take the worker tens of milliseconds.
 * @param users becomes empty
 * @param rest the other fields on the wire; may be NULL if rest_len is 0
 * @param rest_len at most DIRECTORY_USERS_REST_MAX
 * @return false: the call has ended
 */
bool directory_users_send(struct grpc_call *call, struct directory_users *users,
                          const uint8_t *rest, size_t rest_len);
/** Frees the memory, and ends counting it. */
void directory_users_drop(struct grpc_call *call, struct directory_users *users);

#endif
