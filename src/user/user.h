/* SPDX-License-Identifier: MIT */
/*
 * What a user is: which texts make one, its stored bytes, and its unique keys.
 * A body is the User message in wire format without the id field, whose 38 bytes
 * are written from the binary id when the user is sent. Knows no network and
 * no store: both the server and shm-inspect make and read users by this.
 */
#ifndef ROSTERD_USER_USER_H
#define ROSTERD_USER_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "user/uuid.h"

enum {
    USER_USERNAME_MAX = 255, /* bytes */
    USER_EMAIL_MAX = 254,    /* bytes; RFC 5321 4.5.3.1.3 */
    USER_ROLE_MAX = 64,      /* bytes */
    USER_ROLES_MAX = 32,
    /* user name, e-mail and created_at, each with tag and length */
    USER_BODY_NO_ROLES_MAX = 3 + USER_USERNAME_MAX + 3 + USER_EMAIL_MAX + 11,
    USER_BODY_MAX = USER_BODY_NO_ROLES_MAX + USER_ROLES_MAX * (2 + USER_ROLE_MAX),
    USER_ID_FIELD_SIZE = 2 + UUID_TEXT_SIZE,
};

/** UTF-8, not terminated. Who takes texts from outside checks that it is. */
struct user_text {
    const uint8_t *data;
    size_t len;
};

/** A user without its id. The texts belong to whoever made them. */
struct user_fields {
    struct user_text username, email; /* email: empty where there is none */
    int64_t created_at;               /* seconds since the epoch */
    const struct user_text *roles;
    size_t num_roles;
};

/** @return NULL where user name and e-mail may be a user's, else why not: a static text that names
 * the field */
const char *user_check(const struct user_fields *fields);
/** The same for the roles: 1 to USER_ROLE_MAX bytes each, without a comma, a control character of
 * ASCII or another's name. */
const char *user_check_roles(const struct user_fields *fields);

/**
 * Writes the body of a user that both checks let pass.
 * @param out at least USER_BODY_MAX bytes (or USER_BODY_NO_ROLES_MAX and 2 and its length for
 *   each role)
 * @return the bytes written
 */
size_t user_body_encode(uint8_t *out, const struct user_fields *fields);

/**
 * Reads a body, which may be damaged; fields that a User does not have are skipped.
 * @param fields its texts lead into the body, its roles to `roles`
 * @return false where it is no User message, or has more than USER_ROLES_MAX roles
 */
bool user_body_decode(struct user_fields *fields, struct user_text roles[USER_ROLES_MAX],
                      const uint8_t *body, size_t body_len);

/** Writes a whole User message: USER_ID_FIELD_SIZE + body_len bytes. */
static inline void user_encode(uint8_t *out, const uint8_t id[UUID_SIZE], const uint8_t *body,
                               size_t body_len)
{
    out[0] = 0x0a; /* field 1, length-delimited */
    out[1] = UUID_TEXT_SIZE;
    uuid_format((char *)out + 2, id);
    memcpy(out + USER_ID_FIELD_SIZE, body, body_len);
}

/* ---- unique keys, by the numbers that the store knows them by ---- */

enum user_key { USER_KEY_USERNAME, USER_KEY_EMAIL, USER_KEYS };
enum { USER_KEY_MAX = 256 }; /* bytes that user_key_of() may write */

/** "username", "email": the field's name. */
const char *user_key_name(unsigned key);

/**
 * A body's unique key: the user name as it is; the e-mail with the ASCII letters of its domain
 * (what follows the @) in lower case, for domains have no case (RFC 1035 2.3.3) and local parts do
 * (RFC 5321 2.4). It has the shape of the store's shm_key_of.
 * @param body may be damaged: nothing outside of it is read
 * @param out USER_KEY_MAX bytes
 * @return the key's length, 0: it has none
 */
uint32_t user_key_of(unsigned key, const uint8_t *body, uint32_t body_len, uint8_t *out);
/** The key of a text that somebody typed: what user_key_of() gives for a user who has it. */
uint32_t user_key_of_text(unsigned key, struct user_text text, uint8_t *out);

#endif
