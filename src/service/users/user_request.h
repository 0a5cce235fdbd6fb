/* SPDX-License-Identifier: MIT */
/* A CreateUserRequest on its way to a user: what both calls that create users do with it. */
#ifndef ROSTERD_SERVICE_USERS_USER_REQUEST_H
#define ROSTERD_SERVICE_USERS_USER_REQUEST_H

#include "proto/user_service.pb-c.h"
#include "user/user.h"

enum {
    USER_PASSWORD_MAX = 1024,
    /* a new user has the one role "user" */
    USER_REQUEST_BODY_MAX = USER_BODY_NO_ROLES_MAX + 2 + 4,
};

/** @return NULL where the request makes a user, else why not: a static text that names the field */
const char *user_request_check(const Userservice__CreateUserRequest *request);

/**
 * Writes the body of the user that a request (already checked) makes.
 * @param out at least USER_REQUEST_BODY_MAX bytes
 * @param created_at seconds since the epoch
 * @return the bytes written
 */
size_t user_request_encode(uint8_t *out, const Userservice__CreateUserRequest *request,
                           int64_t created_at);

#endif
