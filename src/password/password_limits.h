/* SPDX-License-Identifier: MIT */
/* How long passwords and hashes may be, and how much work a hash may cause. */
#ifndef ROSTERD_PASSWORD_PASSWORD_LIMITS_H
#define ROSTERD_PASSWORD_PASSWORD_LIMITS_H

#include <stdint.h>

enum {
    PASSWORD_MAX = 1024,     /* bytes of a password; NIST SP 800-63B asks for at least 64 */
    PASSWORD_HASH_MAX = 512, /* bytes of a hash as text, without the NUL */
};

/**
 * What a hash of another program may cost. A stored hash decides how long its verification takes,
 * so one that was made to be slow would occupy the pool. With the defaults a verification takes
 * about one second at most, and SHA-crypt, whose time grows with the password's length, four.
 */
struct password_limits {
    uint64_t memory; /* bytes, of Argon2 and yescrypt; memory times passes: eight times as much */
    uint32_t bcrypt_cost;
    uint32_t sha_rounds; /* of $5$ and $6$ */
    uint32_t pbkdf2_iterations;
    /* An Argon2id hash of one lane up to these has no other bound: the server may have made it
     * itself, with options of that time. 0: no hash has this exemption. */
    uint64_t own_memory; /* bytes */
    uint32_t own_passes;
};
#define PASSWORD_LIMITS_DEFAULT                                                                    \
    ((struct password_limits){.memory = 128 << 20,                                                 \
                              .bcrypt_cost = 14,                                                   \
                              .sha_rounds = 1000000,                                               \
                              .pbkdf2_iterations = 2000000})

/* The greatest values of the options password-memory and password-passes. */
#define PASSWORD_MEMORY_MOST (UINT64_C(4) << 30)
enum { PASSWORD_PASSES_MOST = 1000 };

/** For a hash that is stored already. */
#define PASSWORD_LIMITS_STORED                                                                     \
    ((struct password_limits){.memory = 128 << 20,                                                 \
                              .bcrypt_cost = 14,                                                   \
                              .sha_rounds = 1000000,                                               \
                              .pbkdf2_iterations = 2000000,                                        \
                              .own_memory = PASSWORD_MEMORY_MOST,                                  \
                              .own_passes = PASSWORD_PASSES_MOST})

#endif
