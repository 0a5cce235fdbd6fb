/* SPDX-License-Identifier: MIT */
/*
 * The processes that hash passwords, as the master sees them: fork, progress, death, end. They
 * serve the workers of all generations, so a reload leaves them alone. When the server stops they
 * are told after the last worker has ended, because calls in the workers wait for them.
 */
#ifndef ROSTERD_SERVER_MASTER_PASSWORD_OWNER_H
#define ROSTERD_SERVER_MASTER_PASSWORD_OWNER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/fault.h"
#include "server/master/watched.h"
#include "server/password/password_process.h"

enum { PASSWORD_PROCESSES_MAX = 64 };

struct password_child {
    struct watched process;
    bool told; /* it was told to end */
};

struct password_line; /* a process's board, in a cache line of its own */

/** Times are ms of the monotonic clock. */
struct password_owner {
    struct pool_channels *channels; /* NULL: there are no processes */
    struct password_line *lines;    /* `count`, in anonymous shared memory */
    struct password_child all[PASSWORD_PROCESSES_MAX];
    unsigned count;
    uint64_t checked_at;
    bool stopping;    /* they were told to end, and are not started again */
    uint64_t kill_at; /* while stopping */
};

/** Prepares `count` processes and starts none. @param channels outlive the owner */
bool password_owner_open(struct password_owner *owner, struct pool_channels *channels,
                         unsigned count, struct fault *fault);
/** Frees this process's view. None must run, or this is another child. */
void password_owner_close(struct password_owner *owner);

/** When the next process is due to be started; CLOCK_NEVER_MS: all run, or need not. */
uint64_t password_owner_next_respawn(const struct password_owner *owner);
/**
 * Forks the processes that are due. Returns in each of them, too, when it has ended.
 * @param enter called in a forked process before it does anything
 * @return in the master -1; in a forked process its exit status
 */
int password_owner_spawn_due(struct password_owner *owner, uint64_t now, void (*enter)(void *data),
                             void *data);
/** Takes note of a death, and answers the request that the process worked on.
 * @param crashed set: nobody had told it to end
 * @return false: the pid is none of them */
bool password_owner_bury(struct password_owner *owner, pid_t pid, int status, bool *crashed);
/** Kills processes that have made no progress for `timeout` ms, or that do not end. To be called at
 * least once a second. */
void password_owner_check(struct password_owner *owner, uint64_t timeout, uint64_t now);
void password_owner_signal(const struct password_owner *owner, int signal);
/** Tells all of them to end. */
void password_owner_stop(struct password_owner *owner, uint64_t now);
/** Tells all of them to end, so that others start with what the master has become: its log.
 * Requests wait meanwhile. */
void password_owner_renew(struct password_owner *owner);
bool password_owner_runs(const struct password_owner *owner);

#endif
