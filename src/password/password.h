/* SPDX-License-Identifier: MIT */
/*
 * Passwords and their hashes. New hashes are Argon2id (RFC 9106) by libsodium. Hashes that other
 * programs made can be verified, too: hash_format.h lists them.
 *
 * These functions compute for tens of milliseconds and take tens of megabytes. No event loop calls
 * them: pool_server.h has the processes that do. They overwrite what they had of a password; the
 * caller overwrites its own copy.
 */
#ifndef ROSTERD_PASSWORD_PASSWORD_H
#define ROSTERD_PASSWORD_PASSWORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "password/password_limits.h"

/** What a new hash costs. OWASP's Password Storage Cheat Sheet has the defaults. One lane (p=1):
 * the pool has a process for each CPU that hashing may use. */
struct password_cost {
    uint64_t memory; /* bytes, a multiple of 1,024, at least PASSWORD_MEMORY_LEAST */
    uint32_t passes; /* t, at least 1 */
};
enum { PASSWORD_MEMORY_LEAST = 1 << 20 };
#define PASSWORD_COST_DEFAULT ((struct password_cost){.memory = 19 << 20, .passes = 2})

/** Prepares libsodium. Called once in each process, before the functions below. */
bool password_prepare(struct fault *fault);

/** Whether a hash from elsewhere can be imported: its form is known, complete, and within the
 * limits. @param hash NUL-terminated @param fault names what is wrong, and never shows the hash */
bool password_check_format(const char *hash, const struct password_limits *limits,
                           struct fault *fault);

/**
 * Makes a hash, with a random salt.
 * @param hash has room for PASSWORD_HASH_MAX + 1 bytes
 * @return false: there is not enough memory
 */
bool password_hash(char *hash, const char *password, size_t len, const struct password_cost *cost);

enum password_verdict {
    PASSWORD_NO,
    PASSWORD_YES,
    PASSWORD_UNKNOWN, /* not enough memory, or a hash that password_check_format() refuses */
};
/**
 * Whether the password is the one of the hash. Hashes are compared in constant time.
 *
 * A wrong password costs as much as with a hash that password_hash() makes, if the hash is an
 * Argon2 hash that costs less: otherwise its time would tell that there is a user with an old hash.
 * With a hash of another kind it costs that in addition to its own time, which cannot be compared.
 *
 * libcrypt knows a password as a C string of at most 511 bytes: one that is longer or contains a
 * NUL never matches its hashes. bcrypt looks at the first 72 bytes only, as everywhere, and so a
 * longer password matches if these do.
 * @param replace set for PASSWORD_YES: whether the hash should be replaced by a new one, because it
 *   is no Argon2id or costs less than `cost`. Never for a password of which bcrypt has not looked
 * at all bytes: the rest of it may be mistyped.
 */
enum password_verdict password_verify(const char *hash, const char *password, size_t len,
                                      const struct password_cost *cost,
                                      const struct password_limits *limits, bool *replace);
/** Takes as long as password_verify() of a hash that password_hash() made. For a user that does not
 * exist or has no password. @return false: there is not enough memory */
bool password_pretend(const char *password, size_t len, const struct password_cost *cost);
/** Takes as long as password_verify() of a wrong password, whether or not this one is right.
 * @return false: as PASSWORD_UNKNOWN */
bool password_pretend_hash(const char *hash, const char *password, size_t len,
                           const struct password_cost *cost, const struct password_limits *limits);

#endif
