/* SPDX-License-Identifier: MIT */
/*
 * Bearer tokens (RFC 6750): `authorization: Bearer TOKEN` in the metadata of a call, the word
 * Bearer in any case. A call without a token of the file fails with UNAUTHENTICATED; a call whose
 * token lacks the scope that the method needs fails with PERMISSION_DENIED. Health checks need no
 * token, because probes and load balancers make them. service/tokens/token_file.h says what a token
 * file looks like, service/core/scope.h what a scope is.
 *
 * Tokens are never logged, and core dumps leave out their memory. The token that a client sent is
 * overwritten in the call's metadata as soon as it was checked, right or wrong. The time that a
 * check takes tells nothing about the tokens of the file: see service/tokens/token_table.h. If the
 * file has hashed tokens, a token that is not in it as text costs a SHA-256 more, whatever it is.
 */
#ifndef ROSTERD_SERVICE_AUTH_H
#define ROSTERD_SERVICE_AUTH_H

#include <stdbool.h>
#include <stddef.h>

#include "base/fault.h"
#include "service/tokens/token_file.h"

enum {
    AUTH_TOKEN_MAX = TOKEN_MAX,
    AUTH_NAME_MAX = TOKEN_NAME_MAX,
    AUTH_WARNING_SIZE = TOKEN_WARNING_SIZE,
};

/** The tokens of one file. A thread of its own needs an auth of its own, for hashing; a child
 * process may use its parent's. */
struct auth;

/** Whose token it is, and what it permits. */
struct auth_caller {
    const char *name; /* valid as long as the auth; NULL: it is no token of the file */
    unsigned scopes;  /* SCOPE_* of service/core/scope.h; 0 if `name` is NULL */
};

/**
 * Loads the file.
 * @param warning is set to something an operator should know, with the file's name, or to ""
 * @param fault names the file, and the line if there is one
 * @return NULL: see `fault`
 */
struct auth *auth_load(const char *path, char warning[AUTH_WARNING_SIZE], struct fault *fault);
/** NULL: does nothing. */
void auth_free(struct auth *auth);

/** How many tokens there are. */
size_t auth_count(const struct auth *auth);
/** Whether any token of the file has one of these scopes. */
bool auth_has_scope(const struct auth *auth, unsigned scopes);
/** Checks the value of an authorization field. */
struct auth_caller auth_find(const struct auth *auth, const char *value, size_t len);

#endif
