/* SPDX-License-Identifier: MIT */
/* What the keys of watch choose: which part of the samples the screen shows, and in which order. */
#ifndef ROSTERD_INSPECT_SCREEN_VIEW_H
#define ROSTERD_INSPECT_SCREEN_VIEW_H

#include <stdbool.h>

enum { VIEW_FILTER_MAX = 40 }; /* bytes */

enum view_methods {
    VIEW_BY_CALLS,
    VIEW_BY_ERRORS,
    VIEW_BY_P99,
    VIEW_BY_METHOD,
    VIEW_METHOD_ORDERS
};
enum view_processes { VIEW_BY_SLOT, VIEW_BY_CPU, VIEW_BY_MEMORY, VIEW_PROCESS_ORDERS };

struct view {
    int scroll; /* rows of the body above the window */
    int rows;   /* rows of the body, when it was last drawn */
    int shift;  /* columns that are cut off on the left */
    bool zeros; /* show methods without calls, and counters that are zero */
    bool raw;   /* show the counters of methods one by one, too */
    bool total; /* show the calls since the counters were created, not the last ones */
    bool help;
    bool typing; /* the filter */
    enum view_methods methods;
    enum view_processes processes;
    char filter[VIEW_FILTER_MAX + 1]; /* only names with this text in them; empty: all */
};

/** Whether the filter lets a name pass. Letters count in any case. */
bool view_shows(const struct view *view, const char *name);

#endif
