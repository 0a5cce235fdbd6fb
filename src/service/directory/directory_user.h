/* SPDX-License-Identifier: MIT */
/*
 * The directory's User on the wire: made from a stored user in one pass, without a message in
 * between. A stored body has user name and e-mail under the same numbers, and labels are stored as
 * a map has them on the wire, so these are copied.
 */
#ifndef ROSTERD_SERVICE_DIRECTORY_DIRECTORY_USER_H
#define ROSTERD_SERVICE_DIRECTORY_DIRECTORY_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "grpc/grpc.h"
#include "shm/store.h"
#include "user/etag.h"
#include "user/uuid.h"
#include <protobuf-c/protobuf-c.h>

enum {
    DIRECTORY_NAME_SIZE = 6 + UUID_TEXT_SIZE, /* "users/UUID" */
    /* A user's most bytes on the wire: both parts as they are stored; name, etag, two flags and two
     * times. */
    DIRECTORY_USER_MAX =
        SHM_BODY_MAX + 2 + DIRECTORY_NAME_SIZE + 2 + USER_ETAG_SIZE + 2 * 2 + 2 * (2 + 11 + 6),
};

/** Writes a user's fields: a User on the wire. @param out DIRECTORY_USER_MAX bytes
 * @return the bytes written */
size_t directory_user_encode(uint8_t *out, const struct shm_user *user, unsigned fields);

/** Sends one user as the reply. A damaged part is sent as far as it can be read.
 * @param fields which ones: directory_fields.h */
void directory_user_send(struct grpc_call *call, const struct shm_user *user, unsigned fields);

/** @return false: the text is not "users/UUID" */
bool directory_name_parse(const ProtobufCBinaryData *text, uint8_t id[UUID_SIZE]);
/** The opposite, without a terminating NUL. */
void directory_name_format(char out[DIRECTORY_NAME_SIZE], const uint8_t id[UUID_SIZE]);

/* ---- a reply with several users ---- */

/** Repeated users, field 1 of the reply, in memory of their own. Zeroed: empty. */
struct directory_users {
    uint8_t *bytes;
    size_t len, cap;
    size_t last; /* bytes of the user that was added last */
};

/** Appends a user. The memory counts as held by the call.
 * @return false: the connection holds too much, or there is no memory; nothing was appended */
bool directory_users_add(struct grpc_call *call, struct directory_users *users,
                         const struct shm_user *user, unsigned fields);
/** The status text for that. */
extern const char directory_no_room[];
/**
 * Reserves a reply that begins with the users, and has room for `more` bytes behind them. A large
 * reply is not compressed: that would take the worker tens of milliseconds.
 * @return where those bytes go; NULL: the call has ended
 */
uint8_t *directory_users_reserve(struct grpc_call *call, struct directory_users *users,
                                 size_t more);
/** Frees the memory, and ends counting it. */
void directory_users_drop(struct grpc_call *call, struct directory_users *users);

#endif
