/* SPDX-License-Identifier: MIT */
/*
 * The texts of password hashes:
 *
 *     $argon2id$v=19$m=KIB,t=PASSES,p=LANES$SALT$HASH   RFC 9106, PHC string format; also $argon2i$
 *     $2b$COST$SALT+HASH                                bcrypt; also $2a$ and $2y$
 *     $6$[rounds=N$]SALT$HASH                           SHA-512 of crypt(5); $5$: SHA-256
 *     $y$PARAMETERS$SALT$HASH                           yescrypt, with the parameters that
 *                                                       crypt_gensalt() chooses: j, N, r
 *     $pbkdf2-sha256$ITERATIONS$SALT$HASH               PBKDF2 (RFC 8018) as passlib writes it;
 * also sha512 pbkdf2_sha256$ITERATIONS$SALT$HASH                as Django writes it; also sha512
 *
 * Others are refused: DES, MD5, NTHASH and plain digests are too weak to be worth keeping; $2x$ is
 * bcrypt with a bug that makes passwords collide.
 */
#ifndef ROSTERD_PASSWORD_HASH_FORMAT_H
#define ROSTERD_PASSWORD_HASH_FORMAT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/fault.h"
#include "password/password_limits.h"

enum hash_kind {
    HASH_ARGON2ID,
    HASH_ARGON2I,
    HASH_BCRYPT,
    HASH_SHA_CRYPT,
    HASH_YESCRYPT,
    HASH_PBKDF2,
};

enum { HASH_KEY_MAX = 64 }; /* bytes of a SHA-512 */

struct hash_format {
    enum hash_kind kind;
    uint64_t memory;    /* bytes; Argon2 and yescrypt */
    uint32_t rounds;    /* passes, cost, rounds or iterations */
    size_t length;      /* of the hash: digits of libcrypt, bytes of PBKDF2 */
    const char *digest; /* of PBKDF2: OpenSSL's name */
    /* Of PBKDF2; scratch memory for the others. The caller overwrites it. */
    uint8_t salt[PASSWORD_HASH_MAX];
    size_t salt_len;
    uint8_t key[HASH_KEY_MAX];
    size_t key_len;
};

/** Reads a hash completely. @param fault names what is wrong, and never shows the hash */
bool hash_format_read(struct hash_format *format, const char *hash,
                      const struct password_limits *limits, struct fault *fault);

#endif
