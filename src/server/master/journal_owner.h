/* SPDX-License-Identifier: MIT */
/*
 * The journal's process, as the master sees it: fork, progress, death, end. It is forked before the
 * workers and, when the server stops, told last, because calls in the workers wait for it.
 */
#ifndef ROSTERD_SERVER_MASTER_JOURNAL_OWNER_H
#define ROSTERD_SERVER_MASTER_JOURNAL_OWNER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/fault.h"
#include "server/journal/journal_process.h"
#include "server/master/watched.h"

/** Times are ms of the monotonic clock. */
struct journal_owner {
    struct journal_process_config config;
    struct stats_board *board; /* in anonymous shared memory; NULL: there is no data file */
    struct watched process;
    uint64_t checked_at;
    bool stopping;    /* it was told to end, and is not started again */
    bool renewing;    /* it was told to end, and the next one starts at once */
    uint64_t kill_at; /* while stopping */
    unsigned
        in_vain; /* journals that died in a row without a commit on disk, PATIENCE_MAX at most */
    uint64_t buried_at;   /* the file's last commit when the last one died */
    uint64_t lag_version; /* the newest commit when lag_since was set */
    uint64_t lag_since;   /* since when this commit is not in the file */
};

/** Prepares the journal of a data file and starts nothing. */
bool journal_owner_open(struct journal_owner *owner, const struct journal_process_config *config,
                        struct fault *fault);
/** Frees this process's view. The journal must not run, or this is another child. */
void journal_owner_close(struct journal_owner *owner);

/** Whether the journal is to be started now. */
bool journal_owner_is_due(const struct journal_owner *owner, uint64_t now);
/** When it is due; CLOCK_NEVER_MS: it runs, or need not. */
uint64_t journal_owner_next_respawn(const struct journal_owner *owner);
/**
 * Forks the journal. Returns in both processes: in the master at once, in the journal's process
 * when it has ended.
 * @param enter called in the journal's process before it does anything
 * @return in the master -1; in the journal's process its exit status
 */
int journal_owner_spawn(struct journal_owner *owner, uint64_t now, void (*enter)(void *data),
                        void *data);
/** Takes note of a death. @return false: the pid is not the journal's */
bool journal_owner_bury(struct journal_owner *owner, pid_t pid, int status);
/** Kills a journal that has made no progress for `timeout` ms, or that does not end. To be called
 * at least once a second. */
void journal_owner_check(struct journal_owner *owner, uint64_t timeout, uint64_t now);
/** For how many seconds the newest commit has not been in the data file. */
uint64_t journal_owner_lag(struct journal_owner *owner, uint64_t now);
/** Whether the journal is dead, and the newest commit is not in the file: one is due at once then.
 */
bool journal_owner_lacks_one(struct journal_owner *owner);
/** Tells the journal to write what there is and to end. */
void journal_owner_stop(struct journal_owner *owner, uint64_t now);
/** Tells the journal to end, so that another one starts with what the master has become: its log.
 * Writes wait meanwhile. */
void journal_owner_renew(struct journal_owner *owner);
bool journal_owner_runs(const struct journal_owner *owner);

#endif
