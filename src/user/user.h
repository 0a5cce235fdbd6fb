/* SPDX-License-Identifier: MIT */
/*
 * What a user is: which texts it may have, how it is stored, and its unique keys. A stored body is
 * the User message of proto/user_service.proto in wire format, without the id field. The id is kept
 * in binary; its 38 bytes are written when the user is sent. This module knows neither network nor
 * store: the server and shm-inspect make and read users with it.
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
    /* Bytes of a body: user name, e-mail and created_at, each with tag and length; then roles. */
    USER_BODY_NO_ROLES_MAX = 3 + USER_USERNAME_MAX + 3 + USER_EMAIL_MAX + 11,
    USER_BODY_MAX = USER_BODY_NO_ROLES_MAX + USER_ROLES_MAX * (2 + USER_ROLE_MAX),
    USER_ID_FIELD_SIZE = 2 + UUID_TEXT_SIZE,
};

/** UTF-8 without a terminating NUL. That it is valid is checked by the code that took the text from
 * outside. */
struct user_text {
    const uint8_t *data;
    size_t len;
};

static inline bool user_text_equal(struct user_text a, struct user_text b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/** A user without its id. The texts belong to the caller. */
struct user_fields {
    struct user_text username;
    struct user_text email; /* empty: the user has none */
    int64_t created_at;     /* seconds since the epoch */
    const struct user_text *roles;
    size_t num_roles;
};

/**
 * Checks user name and e-mail.
 * @param reason set if they are refused, to a static text that begins with the field's name. (Not a
 *   struct fault: a batch keeps the reasons of a thousand users without copying them.)
 * @return false: a user cannot have them
 */
bool user_check(const struct user_fields *fields, const char **reason);
/** Checks the roles: at most USER_ROLES_MAX, all different, each 1 to USER_ROLE_MAX bytes without a
 * comma or an ASCII control character. */
bool user_check_roles(const struct user_fields *fields, const char **reason);

/**
 * Writes the body of a user that has passed both checks. (A decoded body may be damaged and have
 * longer texts; with other roles it is encoded to at most the bytes that it had and those of the
 * new roles.)
 * @param out USER_BODY_MAX bytes. USER_BODY_NO_ROLES_MAX bytes, and for each role 2 and its length,
 *   are enough
 * @return the bytes written
 */
size_t user_body_encode(uint8_t *out, const struct user_fields *fields);

/**
 * Reads a body, which may be damaged. Unknown fields are skipped.
 * @param fields set to texts that point into the body, and roles that lie in `roles`
 * @return false: it is not a User message, or it has more than USER_ROLES_MAX roles
 */
bool user_body_decode(struct user_fields *fields, struct user_text roles[USER_ROLES_MAX],
                      const uint8_t *body, size_t body_len);

/** Writes a whole User message.
 * @param out USER_ID_FIELD_SIZE + body_len bytes */
static inline void user_encode(uint8_t *out, const uint8_t id[UUID_SIZE], const uint8_t *body,
                               size_t body_len)
{
    out[0] = 0x0a; /* field 1, length-delimited */
    out[1] = UUID_TEXT_SIZE;
    uuid_format((char *)out + 2, id);
    memcpy(out + USER_ID_FIELD_SIZE, body, body_len);
}

/* ---- unique keys ---- */

/** The keys, by the numbers that the store knows them by. */
enum user_key { USER_KEY_USERNAME, USER_KEY_EMAIL, USER_KEYS };
enum { USER_KEY_MAX = 256 }; /* bytes that user_key_of() may write */

/** The name of the field that is the key: "username" or "email". */
const char *user_key_name(unsigned key);

/**
 * Extracts a unique key from a body: the user name as it is; the e-mail with the ASCII letters of
 * its domain (what follows the @) in lower case. Domains are case-insensitive (RFC 1035 2.3.3),
 * local parts are not (RFC 5321 2.4). The function has the type shm_key_of of the store.
 * @param body may be damaged: nothing outside of it is read
 * @param out USER_KEY_MAX bytes
 * @return the key's length; 0: the user has no such key
 */
uint32_t user_key_of(unsigned key, const uint8_t *body, uint32_t body_len, uint8_t *out);
/** The key of a text that a person typed: what user_key_of() gives for a user with this text. */
uint32_t user_key_of_text(unsigned key, struct user_text text, uint8_t *out);

#endif
