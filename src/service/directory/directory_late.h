/* SPDX-License-Identifier: MIT */
/*
 * The new users to whose creation a watch came late: it told the creation with a newer body, or
 * found that the user is gone. Either includes all changes of the user up to some commit: their
 * entries of the feed, to which the watch comes later, are not told.
 *
 * Such users are kept as ranges of sequence numbers, for users who are created in a row are looked
 * up at about the same time. A range is forgotten when the watch has passed its commit. The set is
 * small and leaves out what does not fit: such a change is told twice.
 */
#ifndef ROSTERD_SERVICE_DIRECTORY_DIRECTORY_LATE_H
#define ROSTERD_SERVICE_DIRECTORY_DIRECTORY_LATE_H

#include <stdbool.h>
#include <stdint.h>

#include "shm/store.h"

enum { DIRECTORY_LATE_MAX = 640 }; /* ranges */

/** The users with these numbers. */
struct directory_late_range {
    uint64_t first, last;
    uint64_t version; /* their changes up to this commit are not told */
};

/** NULL: the set is empty. */
struct directory_late {
    unsigned count, cap;
    uint64_t oldest; /* the least version */
    struct directory_late_range ranges[];
};

void directory_late_add(struct directory_late **set, const struct directory_late_range *range);
/** Adds the next user, if the last range is of the same version and ends before it. A user without
 * changes need not be in the set, but so the range can go on. */
void directory_late_extend(struct directory_late *set, uint64_t seq, uint64_t version);
/** Whether this change is not told. */
bool directory_late_covers(const struct directory_late *set, const struct shm_change *change);
/** All changes up to this commit are passed. */
void directory_late_pass(struct directory_late **set, uint64_t version);
/** Frees the set. */
void directory_late_clear(struct directory_late **set);

#endif
