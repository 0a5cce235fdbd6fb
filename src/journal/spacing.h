/* SPDX-License-Identifier: MIT */
/*
 * Whether commits are put off, so that a sync of the disk is for several changes. Clients that send
 * many requests without waiting for each other would have the disk sync all the time, for one or
 * two changes each time. If commits begin five times as far apart as one takes, at most some 1
 * ms, the disk and the CPUs have less to do, and each change is on disk at most that much later.
 *
 * Clients that wait for their answers would send less then. Nothing in the changes tells the two
 * kinds apart, so the journal tries: it compares what comes with commits back to back, and with
 * commits apart. Commits are put off as long as nearly as many changes come, in clearly fewer
 * windows; each second the journal tries again. (A few clients that wait, beside many that do not,
 * are answered later then.) There is nothing to try where a window would have fewer than four
 * changes, or 64 and more, or where a commit takes longer than 0.5 ms.
 */
#ifndef ROSTERD_JOURNAL_SPACING_H
#define ROSTERD_JOURNAL_SPACING_H

#include <stdbool.h>
#include <stdint.h>

/** What came in some time. */
struct spacing_flow {
    uint64_t changes, windows, ns;
};

/** Zeroed: nothing is known. */
struct spacing {
    bool apart;                 /* commits are put off now */
    bool trying;                /* which of the two is better */
    bool outcome;               /* of the last trial */
    unsigned turn;              /* of the trial under way */
    uint64_t turn_changes;      /* in it */
    struct spacing_flow of[2];  /* of the trial: back to back, apart */
    uint64_t hold_ns;           /* how long the outcome holds; 0: there is none */
    uint64_t until_ns;          /* when it ends */
    struct spacing_flow lately; /* older changes and times count less; the changes are scaled */
    uint64_t sync_ns;           /* how long a commit takes, likewise */
    uint64_t commit_at_ns;      /* when the last commit began */
};

/** A window that is on disk. */
struct spacing_window {
    uint64_t changes;                 /* in it */
    uint64_t commit_at_ns, commit_ns; /* when its commit began, and how long that took */
};

/** Whether the open window is put off still. @param now_ns of a monotonic clock */
bool spacing_wants_more(const struct spacing *spacing, uint64_t changes, uint64_t now_ns);
/** How long to wait between two looks for more. @return ns */
uint64_t spacing_look_ns(const struct spacing *spacing);
/** After a window. */
void spacing_note_window(struct spacing *spacing, const struct spacing_window *window);

#endif
