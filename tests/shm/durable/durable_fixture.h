/* SPDX-License-Identifier: MIT */
/* A segment with a data file that nobody writes: the tests play the journal. A body is the user's
 * number and a stamp; the number is the unique key 0. */
#ifndef ROSTERD_TESTS_SHM_DURABLE_DURABLE_FIXTURE_H
#define ROSTERD_TESTS_SHM_DURABLE_DURABLE_FIXTURE_H

#include "shm/disk.h"
#include "tests/shm/support.h"

int durable_setup(void **state);
/** Closes and removes the segment, and opens a new one with f->config. @return as
 * shm_store_open() */
int durable_renew(struct fixture *f);
shm_key_of durable_key_of;

/** Commits `count` changes of users from n on, with this stamp. @return the store's answer */
int durable_write(struct shm_actor *actor, enum shm_change_kind kind, uint64_t n, size_t count,
                  uint64_t stamp, struct shm_conflict *conflict);
/** As above, of one user; asserts that it was committed. @return its version */
uint64_t durable_commit(struct fixture *f, enum shm_change_kind kind, uint64_t n, uint64_t stamp);
/** Publishes the newest commit. */
void durable_publish(struct fixture *f);
/** Publishes a commit of which only the version counts for readers. */
void durable_publish_version(struct fixture *f, uint64_t version);
uint64_t durable_stamp(const uint8_t *body);
/** Asserts that the user has this stamp in the version that readers see, by id and by key; 0: that
 * it is not there. */
void durable_check(struct shm_actor *actor, uint64_t n, uint64_t stamp);
/** Asserts that shm_user_find_at() finds this stamp; 0: nothing. */
void durable_check_at(struct shm_actor *actor, uint64_t n, uint64_t version, uint64_t stamp);
void durable_maintain(struct fixture *f, int times);

#endif
