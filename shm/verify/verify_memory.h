/* SPDX-License-Identifier: MIT */
#ifndef ROSTERD_SHM_VERIFY_VERIFY_MEMORY_H
#define ROSTERD_SHM_VERIFY_VERIFY_MEMORY_H

#include "shm/verify/verify_state.h"

/** Checks the queues of retired and unlinked bodies, the pins' lists, and the slots' reserves. */
void verify_queues(struct verify *v);
/** Checks the free lists and the rest of the current extent; then, whether every byte of the arena
 * has been claimed. Comes last. */
void verify_allocator(struct verify *v);

#endif
