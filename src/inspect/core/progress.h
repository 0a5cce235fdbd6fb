/* SPDX-License-Identifier: MIT */
/* The progress of a long command: one line on stderr that is redrawn, if stderr is a terminal. */
#ifndef ROSTERD_INSPECT_CORE_PROGRESS_H
#define ROSTERD_INSPECT_CORE_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    const char *what;    /* the command, "dump" */
    const char *unit;    /* of what is counted, "users"; NULL: no count is shown */
    uint64_t total;      /* 0: unknown, no bar is drawn */
    uint64_t started_ms; /* clock_monotonic_ms() */
    uint64_t drawn_ms;   /* when the line was last drawn */
    bool on;             /* stderr is a terminal, and the caller wants the line */
    bool drawn;          /* the line is on the screen */
};

/** The unit is "users"; the caller may change it. @param quiet never draw the line */
void progress_start(struct progress *progress, const char *what, uint64_t total, bool quiet);
/** Draws the line, at most ten times a second. @param done in the unit of `total` */
void progress_show(struct progress *progress, uint64_t done, uint64_t count);
/** Draws the line a last time and removes it. */
void progress_finish(struct progress *progress, uint64_t done, uint64_t count);
/** Removes the line from the screen, before other output. */
void progress_clear(struct progress *progress);

#endif
