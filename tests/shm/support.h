/* SPDX-License-Identifier: MIT */
/* What the store's tests share: a segment of their own, removed whatever happens. */
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

int fixture_setup(void **state);    /* 1,000 users, 256 MiB, opened and joined */
int fixture_teardown(void **state); /* closes and unlinks */
void fixture_close(struct fixture *f);
int fixture_reopen(struct fixture *f); /* as the next master; joins where that worked */

void user_id(uint8_t id[SHM_ID_SIZE], uint64_t n);
/** Inserts users [from, to), `step` a commit; asserts that all went in. */
void users_insert(struct shm_actor *actor, uint64_t from, uint64_t to, size_t step);
int user_insert(struct shm_actor *actor, uint64_t n, uint32_t body_len);
/** Asserts that user n is there with the body that users_insert() gave it. */
void user_check(struct shm_actor *actor, uint64_t n);
/** A cursor's next step, as often as it takes. */
int next_user(struct shm_cursor *cursor, struct shm_user *user);
/** Asserts that the segment is whole and has this many users. */
void segment_check(struct shm_store *store, uint64_t users);

/** Runs in a child of its own; @return its wait status. */
int in_child(void (*run)(struct fixture *f, int argument), struct fixture *f, int argument);
pid_t start_child(void (*run)(struct fixture *f, int argument), struct fixture *f, int argument);

#endif
