/* SPDX-License-Identifier: MIT */
/* From a CreateUserRequest to a user's stored body, for CreateUser and BatchCreateUsers. */
#ifndef ROSTERD_SERVICE_USERS_USER_REQUEST_H
#define ROSTERD_SERVICE_USERS_USER_REQUEST_H

#include <stdbool.h>

#include "proto/user_service.pb-c.h"
#include "user/user.h"

enum {
    USER_PASSWORD_MAX = 1024,
    /* A new user has one role, "user": a tag, a length and four characters. */
    USER_REQUEST_BODY_MAX = USER_BODY_NO_ROLES_MAX + 2 + 4,
};

/**
 * Checks the request, and overwrites the password in it, which nothing after this needs unless
 * passwords are stored.
 * @param reason on false a static text whose first word is the name of the wrong field
 */
bool user_request_check(Userservice__CreateUserRequest *request, const char **reason);
/** Checks a request whose password is going to be stored, and leaves that as it is. */
bool user_request_check_to_store(const Userservice__CreateUserRequest *request,
                                 const char **reason);

/**
 * Encodes the body of the user that a checked request describes.
 * @param out USER_REQUEST_BODY_MAX bytes
 * @param created_at seconds since the epoch
 * @return the bytes written
 */
size_t user_request_encode(uint8_t *out, const Userservice__CreateUserRequest *request,
                           int64_t created_at);

#endif
