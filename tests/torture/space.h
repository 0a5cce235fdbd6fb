/* SPDX-License-Identifier: MIT */
/* A /dev/shm that has as much room as a test likes, and a fallocate() that fails when it likes. */
#ifndef ROSTERD_TESTS_TORTURE_SPACE_H
#define ROSTERD_TESTS_TORTURE_SPACE_H

#include <stdbool.h>

#include "tests/shm/support.h"

extern bool space_mounts; /* whether we may mount a /dev/shm of our own */

enum { REMEMBERED_MS = 100 }; /* how long a growth that was refused is not tried again */

/** The monotonic clock goes on by so much at once, beside what passes. */
void space_pass_ms(int64_t ms);
/** It stands still but for space_pass_ms(), or goes again. */
void space_stop_clock(bool stop);

/** Mounts one, for this process and its children alone, where that is allowed. */
void space_enter(void);
/** The whole file system's size, whatever is in it. Here and below: and a while passes, so that
 * what was refused before is tried again. */
void space_set_size(uint64_t bytes);
uint64_t space_used(void);
/** Nothing is left to take. */
void space_set_full(void);

/** fallocate() fails from its call number `call` on, or in that one alone; 0: never. */
void space_fail_from(unsigned call, int error, bool once);
/** How often it has been called since. */
unsigned space_calls(void);

#endif
