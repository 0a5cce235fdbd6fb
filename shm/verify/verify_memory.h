/* SPDX-License-Identifier: MIT */
#ifndef ROSTERD_SHM_VERIFY_VERIFY_MEMORY_H
#define ROSTERD_SHM_VERIFY_VERIFY_MEMORY_H

#include "shm/verify/verify_state.h"

/** The queues of retired and unlinked bodies, and the pins' lists. */
void verify_queues(struct verify *v);
/** Free lists and rests; then, whether anything is left. */
void verify_allocator(struct verify *v);

#endif
