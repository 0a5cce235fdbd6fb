/* SPDX-License-Identifier: MIT */
/*
 * When a commit is worth waiting for. A sync of the disk costs the same for one change as for a
 * hundred. Clients that wait for an answer send their next request just after it, so a journal that
 * syncs as soon as there is anything syncs the requests of a few clients, and all others wait for
 * the next sync. A journal that waits for a moment first has them all in one.
 *
 * The number of changes to wait for is what was in the last window plus what had come meanwhile: if
 * each client waits for its answer, that is one request of each. If it is not reached in time
 * (clients that do not wait, or that have gone), the next windows do not wait at all. Where the
 * disk is faster than the processors are with so many calls, a wait is worth nothing: while one
 * half of the calls is synced, the other half is worked on.
 */
#ifndef ROSTERD_JOURNAL_GATHER_H
#define ROSTERD_JOURNAL_GATHER_H

#include <stdbool.h>
#include <stdint.h>

/** Zeroed: nothing is expected. */
struct gather {
    uint64_t expected; /* changes */
    uint64_t sync_ns;  /* how long the last commit took */
    unsigned failures; /* waits in a row that did not reach what was expected */
    unsigned skip;     /* windows that will not wait */
};

/** After a window. @param changes in it @param pending changes that have come meanwhile */
void gather_note_window(struct gather *gather, uint64_t changes, uint64_t pending,
                        uint64_t commit_ns);
/** How long to wait at most before the next window, in ns; 0: not at all. @param pending changes */
uint64_t gather_begin(struct gather *gather, uint64_t pending);
/** Whether the wait is over, because enough changes are there. */
bool gather_reached(const struct gather *gather, uint64_t pending);
/** The end of a wait that gather_begin() wanted. */
void gather_end(struct gather *gather, uint64_t pending);

#endif
