/* SPDX-License-Identifier: MIT */
/* How far a long command is, on a terminal: a line on stderr that is written over and over. */
#ifndef ROSTERD_INSPECT_PROGRESS_H
#define ROSTERD_INSPECT_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    const char *what;    /* "dump" */
    uint64_t total;      /* 0: not known, no bar */
    uint64_t started_ms; /* of CLOCK_MONOTONIC */
    uint64_t shown_ms;   /* when it was last drawn */
    bool on;             /* stderr is a terminal */
    bool drawn;          /* there is something to clear */
};

/** @param quiet never to show it */
void progress_start(struct progress *progress, const char *what, uint64_t total, bool quiet);
/** Draws it, ten times a second at most. @param done of total, in its unit */
void progress_show(struct progress *progress, uint64_t done, uint64_t users);
/** Draws it whatever the time. */
void progress_finish(struct progress *progress, uint64_t done, uint64_t users);
/** Takes it off the screen, before something else is printed. */
void progress_clear(struct progress *progress);

#endif
