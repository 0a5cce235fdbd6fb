/* SPDX-License-Identifier: MIT */
/*
 * What a user is: which requests make one, and its stored bytes. A body is the
 * User message in wire format without the id field, whose 38 bytes are written
 * from the binary id when the user is sent.
 */
#ifndef ROSTERD_SERVICE_USER_H
#define ROSTERD_SERVICE_USER_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "proto/user_service.pb-c.h"
#include "service/uuid.h"

enum {
    USER_USERNAME_MAX = 255, /* bytes */
    USER_EMAIL_MAX = 254,    /* bytes; RFC 5321 4.5.3.1.3 */
    USER_PASSWORD_MAX = 1024,
    /* username, email, created_at and the one role, each with tag and length */
    USER_BODY_MAX = 3 + USER_USERNAME_MAX + 3 + USER_EMAIL_MAX + 11 + 6,
    USER_ID_FIELD_SIZE = 2 + UUID_TEXT_SIZE,
};

/** @return NULL where the request makes a user, else why not: a static text that names the field */
const char *user_check(const Userservice__CreateUserRequest *request);

/**
 * Writes the body of the user that a request (already checked) makes.
 * @param out at least USER_BODY_MAX bytes
 * @param created_at seconds since the epoch
 * @return the bytes written
 */
size_t user_body_encode(uint8_t *out, const Userservice__CreateUserRequest *request,
                        int64_t created_at);

/** Writes a whole User message: USER_ID_FIELD_SIZE + body_len bytes. */
static inline void user_encode(uint8_t *out, const uint8_t id[UUID_SIZE], const uint8_t *body,
                               size_t body_len)
{
    out[0] = 0x0a; /* field 1, length-delimited */
    out[1] = UUID_TEXT_SIZE;
    uuid_format((char *)out + 2, id);
    memcpy(out + USER_ID_FIELD_SIZE, body, body_len);
}

#endif
