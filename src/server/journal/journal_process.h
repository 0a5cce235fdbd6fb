/* SPDX-License-Identifier: MIT */
/* The process of the journal (journal/journal.h), which the master forks and supervises. It has no
 * event loop: it sleeps on a futex in the segment until a worker commits. */
#ifndef ROSTERD_SERVER_JOURNAL_JOURNAL_PROCESS_H
#define ROSTERD_SERVER_JOURNAL_JOURNAL_PROCESS_H

#include "journal/journal.h"
#include "server/worker/wake.h"
#include "service/observe/stats.h"
#include "shm/counters.h"
#include "shm/store.h"

/** Everything it points to outlives the process. */
struct journal_process_config {
    struct shm_store *store;
    struct shm_counters *counters;
    struct wake *wake;
    struct stats_board *board; /* written by the journal, read by the master */
    const char *path;          /* of the data file */
    enum journal_durability durability;
    uint64_t interval_ms;
    uint64_t poll_us;
};

/**
 * Runs the journal to its end, after fork, with signals blocked. It waits until no other process
 * has the file open for writing: in an upgrade, until the journal of the old program has ended. On
 * TERM it writes and publishes what has been committed, and ends.
 * @return the process's exit status
 */
int journal_process_run(const struct journal_process_config *config);

#endif
