/* SPDX-License-Identifier: MIT */
/*
 * Scopes: the rights that a token can have (RFC 6750, section 3; RFC 6749, section 3.3). The line
 * of a token in the token file names its scopes; without any the token has all. No scope includes
 * another one.
 *
 * Each method says in its `access` (struct grpc_method) which of them it needs. Zero is no access:
 * service_add() refuses a method that says nothing, and no token opens it.
 */
#ifndef ROSTERD_SERVICE_CORE_SCOPE_H
#define ROSTERD_SERVICE_CORE_SCOPE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/fault.h"

/** Bits. A token has any number of the first five. */
enum {
    SCOPE_READ = 1,     /* look up, list and watch users */
    SCOPE_WRITE = 2,    /* create, change and delete users */
    SCOPE_PASSWORD = 4, /* set and verify passwords */
    SCOPE_ADMIN = 8,    /* import users, with what another system knows of them */
    SCOPE_METRICS = 16, /* read /metrics; it permits no call */
    SCOPE_ALL = 31,
    /** `access` of a method that touches no user: a token with any scope for calls may call it. */
    SCOPE_CALL = SCOPE_READ | SCOPE_WRITE | SCOPE_PASSWORD | SCOPE_ADMIN,
    /** `access` of a method that needs no token at all. No token has this bit. */
    SCOPE_NO_TOKEN = 32,
};

/**
 * Reads scopes with commas between them: "read,write".
 * @param scopes set to their bits
 * @return false with `fault`: a word is unknown, is there twice, or is empty. The fault quotes a
 *   word only if it cannot be a token that stands in the wrong place
 */
bool scope_parse(const char *text, size_t len, unsigned *scopes, struct fault *fault);
/** Whether a method may have this `access`. */
bool scope_is_access(unsigned access);
/** Whether a token with these scopes may call a method with this `access`; 0: there is no token. */
static inline bool scope_permits(unsigned scopes, unsigned access)
{
    return ((scopes | SCOPE_NO_TOKEN) & access) != 0;
}
/** The status message for a token that lacks the scope: a static string that names the scope. */
const char *scope_refusal(unsigned access);

#endif
