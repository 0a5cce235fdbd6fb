/* SPDX-License-Identifier: MIT */
/* Changes to users, and what a follower of the feed is told of them. */
#ifndef ROSTERD_TESTS_SHM_CHANGES_H
#define ROSTERD_TESTS_SHM_CHANGES_H

#include "shm/core/layout.h"
#include "tests/shm/support.h"

enum {
    KEPT = SHM_FEED_SIZE - SHM_BATCH_MAX, /* a follower may be so many entries behind */
    USERS = 500,                          /* of fill_ring() */
};

/** One commit of `count` users from `n` on. @return as the call, which is repeated while busy */
int commit(struct shm_actor *actor, enum shm_change_kind kind, uint64_t n, size_t count);
/** Fills the ring more than twice: entry e is of version e + 1 and about user e % USERS.
 * @return entries, and commits */
uint64_t fill_ring(struct fixture *f);

/** Asserts what the follower is told next. */
void expect(struct shm_actor *actor, struct shm_follower *follower, uint64_t version,
            enum shm_change_kind kind, uint64_t n);
void expect_none(struct shm_actor *actor, struct shm_follower *follower);

#endif
