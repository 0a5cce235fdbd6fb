/* SPDX-License-Identifier: MIT */
/* Helpers of the store's tests: each test has a segment of its own, which is removed in any
 * case. */
#ifndef ROSTERD_TESTS_SHM_SUPPORT_H
#define ROSTERD_TESTS_SHM_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cmocka.h>

#include "shm/error.h"
#include "shm/store.h"

struct fixture {
    char name[64];
    struct shm_config config;
    struct shm_store *store;
    struct shm_actor *actor;
    struct shm_fault fault;
};

int fixture_setup(void **state);    /* room for 1,000 users, 256 MiB; opened and joined */
int fixture_teardown(void **state); /* closes and unlinks the segment */
void fixture_close(struct fixture *f);
int fixture_reopen(struct fixture *f); /* opens again as the next master; joins if that worked */

void user_id(uint8_t id[SHM_ID_SIZE], uint64_t n);
/** Inserts users [from, to), `step` per commit. Asserts that all were inserted. */
void users_insert(struct shm_actor *actor, uint64_t from, uint64_t to, size_t step);
int user_insert(struct shm_actor *actor, uint64_t n, uint32_t body_len);
/** Asserts that user n exists with the body that users_insert() gave it. */
void assert_user(struct shm_actor *actor, uint64_t n);
/** The record of user n, which must exist. */
struct shm_node *user_node(struct shm_actor *actor, uint64_t n);
/** Steps the cursor until it finds a user or the end. */
int next_user(struct shm_cursor *cursor, struct shm_user *user);
/** Asserts that the segment is intact and has this many users. */
void segment_check(struct shm_store *store, uint64_t users);

/** Runs the function in a forked child. @return its wait status */
int in_child(void (*run)(struct fixture *f, int argument), struct fixture *f, int argument);
pid_t start_child(void (*run)(struct fixture *f, int argument), struct fixture *f, int argument);

#endif
