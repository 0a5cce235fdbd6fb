/* SPDX-License-Identifier: MIT */
/*
 * The newest changes of a table, found while all of its rows pass by. They are collected in an
 * array with room for twice as many as are wanted. When it is full the older half is dropped, and
 * from then on only later changes are collected. So a row costs a comparison, and a share of the
 * halving that does not depend on the number of rows.
 */
#ifndef ROSTERD_JOURNAL_RECENT_CHANGES_H
#define ROSTERD_JOURNAL_RECENT_CHANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "shm/disk.h"
#include "shm/store.h"

enum { RECENT_MAX = SHM_CHANGES_MAX, RECENT_ROOM = 2 * RECENT_MAX };

struct recent_changes {
    uint64_t from; /* all changes of later commits are collected, and no others */
    size_t count;
    bool sorted; /* so far in order of versions */
    struct shm_change *changes;
    uint64_t *versions; /* scratch */
};

/** @param from only changes of commits after this one count @return false: there is no memory */
bool recent_begin(struct recent_changes *recent, uint64_t from);
/** Drops the older half, when there is no room. */
void recent_halve(struct recent_changes *recent);
/** Adds a change. Those of one commit may come in any order, and commits too. */
static inline void recent_add(struct recent_changes *recent, uint64_t version,
                              enum shm_change_kind kind, uint64_t seq, const uint8_t *id)
{
    if (version <= recent->from)
        return;
    if (recent->count == RECENT_ROOM) {
        recent_halve(recent);
        if (version <= recent->from)
            return;
    }
    struct shm_change *change = &recent->changes[recent->count];
    if (recent->count != 0 && version < change[-1].version)
        recent->sorted = false;
    *change = (struct shm_change){.version = version, .kind = kind, .seq = seq};
    memcpy(change->id, id, sizeof(change->id));
    recent->count++;
}
/** Leaves the newest RECENT_MAX at most, in order of their versions. */
void recent_finish(struct recent_changes *recent);
void recent_free(struct recent_changes *recent);

#endif
