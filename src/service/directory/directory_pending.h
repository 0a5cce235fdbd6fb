/* SPDX-License-Identifier: MIT */
/*
 * The users whose next changes a watch has told its client already: it came to their creation late,
 * and told it with a newer body, or found that they are gone. The set is small and leaves out what
 * does not fit: such a change is told twice, which a client sees by the etag, or the client is told
 * of the end of a user whom it never knew.
 */
#ifndef ROSTERD_SERVICE_DIRECTORY_DIRECTORY_PENDING_H
#define ROSTERD_SERVICE_DIRECTORY_DIRECTORY_PENDING_H

#include <stdbool.h>
#include <stdint.h>

#include "shm/store.h"

enum { DIRECTORY_PENDING_MAX = 1024 }; /* users */

struct directory_pending; /* NULL: the set is empty */

#define DIRECTORY_GONE UINT64_MAX

/** @param seq of the user @param told the version of the body that was told; DIRECTORY_GONE: the
 *   user was gone, and nothing was told */
void directory_pending_add(struct directory_pending **set, uint64_t seq, uint64_t told);
/** Whether this change is told already, or need not be told. Each change of a user is asked about
 * once, in their order; the last one takes the user off the set. */
bool directory_pending_covers(struct directory_pending **set, const struct shm_change *change);
/** Frees the set. */
void directory_pending_clear(struct directory_pending **set);

#endif
