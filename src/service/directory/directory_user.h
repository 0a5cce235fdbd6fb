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
    /* A user's bytes on the wire that are not in its stored parts: name, etag, two flags and two
     * times. */
    DIRECTORY_USER_MORE = 2 + DIRECTORY_NAME_SIZE + 2 + USER_ETAG_SIZE + 2 * 2 + 2 * (2 + 11 + 6),
    DIRECTORY_USER_MAX = SHM_BODY_MAX + DIRECTORY_USER_MORE,
};

/** The most bytes that directory_user_encode() writes for this user: at most DIRECTORY_USER_MAX,
 * unless the user's lengths are damaged. */
static inline size_t directory_user_bound(const struct shm_user *user)
{
    return (size_t)user->body_len + user->hidden_len + DIRECTORY_USER_MORE;
}

/** Writes a user's fields: a User on the wire.
 * @param out directory_user_bound() bytes; DIRECTORY_USER_MAX are always enough
 * @return the bytes written; 0, too, for a user whose lengths are damaged */
size_t directory_user_encode(uint8_t *out, const struct shm_user *user, unsigned fields);

/** Sends one user as the reply. A damaged part is sent as far as it can be read.
 * @param fields which ones: directory_fields.h */
void directory_user_send(struct grpc_call *call, const struct shm_user *user, unsigned fields);

/** @return false: the text is not "users/UUID" */
bool directory_name_parse(const ProtobufCBinaryData *text, uint8_t id[UUID_SIZE]);
/** The opposite, without a terminating NUL. */
void directory_name_format(char out[DIRECTORY_NAME_SIZE], const uint8_t id[UUID_SIZE]);

#endif
