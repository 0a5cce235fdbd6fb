/* SPDX-License-Identifier: MIT */
/*
 * Bearer tokens (RFC 6750): `authorization: Bearer TOKEN` in the metadata of a call, the word
 * Bearer in any case. A call without a token of the file fails with UNAUTHENTICATED. Health checks
 * need no token, because probes and load balancers make them.
 *
 * The file has one line for each token: the token, spaces or tabs, and a name, which the access log
 * shows. Several tokens may have the same name; so a token can be replaced without an interruption.
 * Empty lines and lines that begin with # are skipped. A token is 1 to 4,096 bytes of visible
 * ASCII, a name 1 to 64.
 *
 * Tokens are never logged, and core dumps leave out their memory. The token that a client sent is
 * overwritten in the call's metadata as soon as it was checked, right or wrong. The time that a
 * check takes tells nothing about the tokens of the file: see auth.c.
 */
#ifndef ROSTERD_SERVICE_AUTH_H
#define ROSTERD_SERVICE_AUTH_H

#include <stdbool.h>
#include <stddef.h>

#include "base/fault.h"

enum { AUTH_TOKEN_MAX = 4096, AUTH_NAME_MAX = 64, AUTH_WARNING_SIZE = 512 };

struct auth; /* the tokens of one file; not changed once loaded */

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
/** Checks the value of an authorization field.
 * @return the name of the token, valid as long as the auth; NULL: it is no token of the file */
const char *auth_find(const struct auth *auth, const char *value, size_t len);

#endif
