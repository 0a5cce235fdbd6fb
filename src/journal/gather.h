/* SPDX-License-Identifier: MIT */
/*
 * When a commit is worth waiting for. A sync of the disk costs the same for one change as for a
 * hundred. Clients that wait for an answer send their next request just after it, so a journal that
 * syncs as soon as there is anything syncs the requests of a few clients, and all others wait for
 * the next sync. A journal that keeps its window open for a moment has them all in one. It writes
 * each change into the window as it comes, so that time is not lost.
 *
 * The number of changes to wait for is what was in the last window plus what had come meanwhile: if
 * each client waits for its answer, that is one request of each. A window waits for no longer than
 * the last commit took. If that does not suffice (clients that do not wait, or that have gone), the
 * next windows do not wait for a number. While commits are put off (spacing.h), none does.
 */
#ifndef ROSTERD_JOURNAL_GATHER_H
#define ROSTERD_JOURNAL_GATHER_H

#include <stdbool.h>
#include <stdint.h>

#include "journal/spacing.h"

/** Zeroed: nothing is expected. */
struct gather {
    uint64_t expected; /* changes */
    uint64_t sync_ns;  /* how long the last commit took */
    uint64_t until_ns; /* when the open window's wait ends; 0: it has not waited yet */
    uint64_t seen;     /* changes in the open window when it was last seen to grow */
    uint64_t seen_ns;  /* when that was */
    unsigned failures; /* windows in a row that have waited in vain */
    unsigned skip;     /* windows that will not wait for a number */
    struct spacing spacing;
};

/** Before a window, also behind one that has failed. */
void gather_begin_window(struct gather *gather);
/** Whether the open window waits for more, when all that has come is in it.
 * @param changes in it @param now_ns of a monotonic clock */
bool gather_wants_more(struct gather *gather, uint64_t changes, uint64_t now_ns);
/** How long to wait between two looks for more. @return ns */
uint64_t gather_look_ns(const struct gather *gather);
/** After a window. @param pending changes that have come since it was closed */
void gather_note_window(struct gather *gather, const struct spacing_window *window,
                        uint64_t pending);

#endif
