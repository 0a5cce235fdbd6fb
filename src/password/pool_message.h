/* SPDX-License-Identifier: MIT */
/* What workers and the processes of the pool send each other: one packet (SOCK_SEQPACKET) each. */
#ifndef ROSTERD_PASSWORD_POOL_MESSAGE_H
#define ROSTERD_PASSWORD_POOL_MESSAGE_H

#include "password/password.h"

enum pool_operation {
    POOL_VERIFY,  /* and makes a new hash if the old one should be replaced */
    POOL_HASH,    /* makes a hash */
    POOL_PRETEND, /* takes as long as POOL_VERIFY of the hash, or without one as of a hash that
                   * costs what is set, and the answer is POOL_NO */
};

enum pool_outcome {
    POOL_YES,
    POOL_NO,
    POOL_HASHED,
    POOL_FAILED,  /* not enough memory, or a hash that password_check_format() refuses */
    POOL_EXPIRED, /* nobody waited for it any more when its turn came */
    POOL_LOST,    /* the process that worked on it has died, or no process has answered in time */
};

/** A worker's request. The password follows, then the hash of POOL_VERIFY and POOL_PRETEND with its
 * NUL. */
struct pool_request {
    uint64_t owner, id; /* the answer repeats both: see pool_channels.h */
    uint64_t expires;   /* ms of the monotonic clock */
    struct password_cost cost;
    struct password_limits limits;
    uint32_t operation;
    uint32_t password_len;
    char bytes[PASSWORD_MAX + PASSWORD_HASH_MAX + 1];
};

struct pool_answer {
    uint64_t owner, id;
    uint32_t outcome;
    char hash[PASSWORD_HASH_MAX + 1]; /* of POOL_HASHED; of POOL_YES: empty, or the new hash */
};

#endif
