/* SPDX-License-Identifier: MIT */
/* What copies a table to its data file needs to know. */
#ifndef ROSTERD_JOURNAL_JOURNAL_CONFIG_H
#define ROSTERD_JOURNAL_JOURNAL_CONFIG_H

#include <stdint.h>

#include "shm/store.h"

enum journal_durability {
    JOURNAL_SYNC,     /* a commit is published when it is on disk */
    JOURNAL_INTERVAL, /* commits are visible at once, and synced each interval */
    JOURNAL_NONE,     /* commits are visible at once, and written, but not synced */
};

enum journal_note {
    JOURNAL_SAYS,   /* worth a line */
    JOURNAL_WARNS,  /* something is wrong that passes by itself */
    JOURNAL_ERRORS, /* something is wrong */
};

struct journal_config {
    struct shm_store *store;
    struct shm_actor *actor;
    const char *path; /* of the data file */
    enum journal_durability durability;
    uint64_t interval_ms; /* of JOURNAL_INTERVAL */
    uint64_t poll_us; /* how long to look for a commit at most before a sleep; 0: sleep at once */
    /* Each may be NULL. */
    void (*alive)(void *data);                /* called now and then during long work */
    void (*woken)(void *data, unsigned slot); /* the process in the slot need not wait any more */
    void (*note)(void *data, enum journal_note kind, const char *text);
    void *data;
};

#endif
