/* SPDX-License-Identifier: MIT */
/*
 * Bearer tokens (RFC 6750): `authorization: Bearer TOKEN` in a call's metadata, the scheme in any
 * case. Who brings none that the file names is told UNAUTHENTICATED; health checks need none, for
 * those who make them are probes and load balancers.
 *
 * The file has a line for each token: the token, spaces or tabs, the name that the access log shows
 * of who brings it. Several tokens may have one name, which is how one is replaced by another
 * without a gap. Lines that begin with # and empty ones are skipped. A token is 1 to 4,096 bytes of
 * visible ASCII, a name 1 to 64.
 *
 * Tokens are never logged, and their memory is left out of core dumps. What a caller brought is
 * overwritten in the call's metadata as soon as it has been looked at, right or wrong. How long a
 * check takes tells nothing about a token: see auth.c.
 */
#ifndef ROSTERD_SERVICE_AUTH_H
#define ROSTERD_SERVICE_AUTH_H

#include <stdbool.h>
#include <stddef.h>

enum { AUTH_TOKEN_MAX = 4096, AUTH_NAME_MAX = 64 };

struct auth;

/** What is wrong with the file, or worth a warning; names the file, and the line where there is
 * one. */
struct auth_report {
    char fault[512];
    char warning[512]; /* empty: none */
};

/** @return NULL with report->fault set */
struct auth *auth_load(const char *path, struct auth_report *report);
void auth_free(struct auth *auth);

size_t auth_count(const struct auth *auth);
/** @return the name of the token that an authorization field brings, valid as long as the auth, or
 * NULL */
const char *auth_find(const struct auth *auth, const char *value, size_t len);

#endif
