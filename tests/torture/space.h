/* SPDX-License-Identifier: MIT */
/* A /dev/shm that has as much room as a test likes, and a fallocate() that fails when it likes. */
#ifndef ROSTERD_TESTS_TORTURE_SPACE_H
#define ROSTERD_TESTS_TORTURE_SPACE_H

#include "tests/shm/support.h"

extern bool space_mounts; /* whether we may mount a /dev/shm of our own */

/** Mounts one, for this process and its children alone, where that is allowed. */
void space_enter(void);
/** The whole file system's size, whatever is in it. */
void space_set_size(uint64_t bytes);
uint64_t space_used(void);
/** Nothing is left to take. */
void space_set_full(void);

/** fallocate() fails from its call number `call` on, or in that one alone; 0: never. */
void space_fail_from(unsigned call, int error, bool once);

#endif
