/* SPDX-License-Identifier: MIT */
/* Gives tests a /dev/shm of a chosen size and a fallocate() that fails on demand. */
#ifndef ROSTERD_TESTS_TORTURE_SPACE_H
#define ROSTERD_TESTS_TORTURE_SPACE_H

#include <stdbool.h>

#include "tests/shm/support.h"

extern bool space_mounts; /* whether the process may mount a /dev/shm of its own */

enum { REMEMBERED_MS = 100 }; /* after a refusal, growth is not tried again for this long */

/** Advances the monotonic clock by this much at once, in addition to real time. */
void space_pass_ms(int64_t ms);
/** Stops the clock, so that only space_pass_ms() advances it, or lets it run again. */
void space_stop_clock(bool stop);

/** Mounts the small /dev/shm for this process and its children alone, if the process is
 * permitted to. */
void space_enter(void);
/** Sets the size of the whole file system, including what is in it. This function and those
 * below also advance the clock, so that what was refused before is tried again. */
void space_set_size(uint64_t bytes);
uint64_t space_used(void);
/** Leaves no free space. */
void space_set_full(void);

/** Makes fallocate() fail from call number `call` on, or only in that call (`once`); 0: never. */
void space_fail_from(unsigned call, int error, bool once);
/** @return how often fallocate() was called since. */
unsigned space_calls(void);

#endif
