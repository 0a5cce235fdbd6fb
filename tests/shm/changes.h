/* SPDX-License-Identifier: MIT */
/* Helpers that change users, and that check the changes which a follower of the feed gets. */
#ifndef ROSTERD_TESTS_SHM_CHANGES_H
#define ROSTERD_TESTS_SHM_CHANGES_H

#include "shm/core/layout.h"
#include "tests/shm/support.h"

enum {
    KEPT = SHM_FEED_SIZE - SHM_BATCH_MAX, /* a follower may be this many entries behind */
    USERS = 500,                          /* users of fill_ring() */
};

/** Commits one change of `count` users from `n` on. Repeats the call while the store is busy.
 * @return its result */
int commit(struct shm_actor *actor, enum shm_change_kind kind, uint64_t n, size_t count);
/** Fills the ring more than twice: entry e belongs to version e + 1 and to user e % USERS.
 * @return the number of entries, which is the number of commits */
uint64_t fill_ring(struct fixture *f);

/** Asserts what change the follower reads next. */
void expect(struct shm_actor *actor, struct shm_follower *follower, uint64_t version,
            enum shm_change_kind kind, uint64_t n);
void expect_none(struct shm_actor *actor, struct shm_follower *follower);

#endif
