/* SPDX-License-Identifier: MIT */
/* The workers of one generation, as the master sees them: fork, readiness, progress, respawn. */
#ifndef ROSTERD_SERVER_MASTER_CHILDREN_H
#define ROSTERD_SERVER_MASTER_CHILDREN_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/fault.h"
#include "server/master/watched.h"
#include "server/worker/worker_config.h"
#include "service/observe/stats.h"

struct child {
    struct watched process;
    int report_fd;    /* the pipe for its report; -1: it was read, or there is none */
    bool ready;       /* it accepts connections */
    unsigned place;   /* its row in the admission */
    char report[256]; /* why it could not start */
};

/* One cache line per worker, which the worker writes during every call. */
struct board_line {
    _Alignas(64) struct stats_board board;
};

struct children {
    struct worker_config config; /* common to all workers */
    struct board_line *boards;   /* `count`, in anonymous shared memory */
    struct child *all;           /* `count`; the index is the worker's number */
    unsigned count;
    uint64_t checked_at; /* ms: when children_check_progress() was last called */
};

/** Prepares `count` workers and starts none. @return false with errno set */
bool children_open(struct children *children, const struct worker_config *config, unsigned count);
/** Frees everything. To be called in the master when no worker runs; in a worker at any time. */
void children_close(struct children *children);

/** Runs a worker to its end, in its own process. */
typedef void children_run(const struct worker_config *config, void *data);
/**
 * Forks worker `number`, which must not be running. Returns in both processes: in the master at
 * once, in the worker's process when `run` has returned. `run` uses `data` to show the caller in
 * which process it is.
 * @return false: no process was started, and the fault says why
 */
bool children_spawn(struct children *children, unsigned number, uint64_t now, children_run *run,
                    void *data, struct fault *fault);

/** Adds the report pipes of workers that are not ready yet. @return how many were added to `fds` */
size_t children_poll_set(const struct children *children, struct pollfd *fds);
/** Reads what workers have reported: that they accept, or why they cannot start. */
void children_read_reports(struct children *children);
bool children_all_ready(const struct children *children);
/** How many of them run. */
unsigned children_running(const struct children *children);
/** Sends the signal to all running workers. */
void children_signal(const struct children *children, int signal);

/** Marks the worker with this pid as not running, after it has read its report.
 * @return false: no worker of this generation has the pid; else *number is set */
bool children_mark_dead(struct children *children, pid_t pid, unsigned *number);
/** Writes "killed by signal 9 (Killed)" or "exited with status 1". @param status waitpid()'s */
void children_describe_end(char *text, size_t size, int status);
/**
 * Kills workers that have made no progress for `timeout` ms, because only a worker's death frees
 * what it holds. Must be called at least once per second: after a longer gap the whole machine must
 * have stood still, so the workers get their full timeout again.
 * @return how many have made progress since the last call
 */
unsigned children_check_progress(struct children *children, uint64_t timeout, uint64_t now);
/** Calls in flight in all running workers. */
unsigned children_calls(const struct children *children);
/** For systemd's status: "worker 1 died 4 times in a row, each soon after its start".
 * @return false: no worker is in a crash loop */
bool children_describe_loop(const struct children *children, uint64_t now, char *text, size_t size);
/** Sets when a dead worker is started again: at once, or after a delay that doubles with each
 * quick death in a row. */
void children_plan_respawn(struct children *children, unsigned number, uint64_t now);
/** When the next dead worker is due to be started, in ms of the monotonic clock; may be in the
 * past. CLOCK_NEVER_MS: all workers run. */
uint64_t children_next_respawn(const struct children *children);

#endif
