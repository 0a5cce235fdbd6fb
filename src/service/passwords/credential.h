/* SPDX-License-Identifier: MIT */
/* What a request gives a user to log in with: a password, or a hash that another system made. */
#ifndef ROSTERD_SERVICE_PASSWORDS_CREDENTIAL_H
#define ROSTERD_SERVICE_PASSWORDS_CREDENTIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"

enum credential_kind {
    CREDENTIAL_NONE, /* the request says nothing */
    CREDENTIAL_PASSWORD,
    CREDENTIAL_HASH, /* an empty one: the user is to have no password */
};

/** The text stays the request's. */
struct credential {
    enum credential_kind kind;
    const uint8_t *data;
    size_t len;
};

/** Checks a credential; knows no call, so that each request of a stream can be checked alone.
 * @param fault begins with the name of the request's field, and never shows the text */
bool credential_check(const struct credential *credential, struct fault *fault);
/** Checks the length of a password: 1 to PASSWORD_MAX bytes. @param fault as above */
bool credential_check_password(size_t len, struct fault *fault);

#endif
