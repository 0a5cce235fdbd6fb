/* SPDX-License-Identifier: MIT */
/* The workers as their master sees them: fork, readiness, death, and the next one. */
#ifndef ROSTERD_SERVER_MASTER_CHILDREN_H
#define ROSTERD_SERVER_MASTER_CHILDREN_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "server/worker/worker.h"

struct child {
    pid_t pid;     /* 0: none now */
    int report_fd; /* -1 once it is ready, or when there is none */
    bool ready;
    unsigned place;      /* of its admission */
    uint32_t turns_seen; /* of its loop */
    uint64_t turned_at;  /* ms: when they were another number */
    unsigned quick;      /* deaths in a row, each soon after its start */
    uint64_t started_at; /* ms, monotonic */
    uint64_t respawn_at; /* ms, while pid is 0 */
    char report[256];    /* why it could not start */
};

/* One line of cache each, because its worker writes it with every call. */
struct board_line {
    _Alignas(64) struct stats_board board;
};

struct children {
    struct worker_config config; /* what all workers share */
    struct board_line *boards;   /* `count`, in anonymous shared memory */
    struct child *all;
    unsigned count;
    uint64_t checked_at; /* ms: the last children_check_progress() */
};

/** @return false with errno set */
bool children_open(struct children *children, const struct worker_config *config, unsigned count);
/** When none runs any more. */
void children_close(struct children *children);

/**
 * Forks worker `number`.
 * @param in_child called in the child first: closes what is the master's alone
 * @return in the master: -1, or that fork failed: -2 with errno. In the child,
 *   when it is done: its exit status, 0 to 255; the caller then leaves main().
 */
int children_spawn(struct children *children, unsigned number, uint64_t now,
                   void (*in_child)(void *data), void *data);
enum { CHILDREN_SPAWNED = -1, CHILDREN_NO_FORK = -2 };

/** The pipes of those that are not ready yet. @return how many were written to fds */
size_t children_poll_set(const struct children *children, struct pollfd *fds);
/** Reads what workers reported. */
void children_read_reports(struct children *children);
bool children_all_ready(const struct children *children);
unsigned children_running(const struct children *children);
void children_signal(const struct children *children, int signal);

/** Marks the child with this pid as gone. @return its number, or -1 */
int children_bury(struct children *children, pid_t pid);
/** "killed by signal 9 (Killed)" or "exited with status 1" */
void children_describe_end(char *text, size_t size, int status);
/** Logs how the worker ended. */
void children_obituary(const struct children *children, unsigned number, pid_t pid, int status);
/** Frees what the worker held in the segment and in the counts. */
void children_release(struct children *children, unsigned number);
/**
 * Kills those that have stood still for longer than `timeout` ms: only a worker's death frees
 * what it holds. To be called each second at least: a gap in that is the machine's, not theirs.
 * @return how many have moved since the last call
 */
unsigned children_check_progress(struct children *children, uint64_t timeout, uint64_t now);
/** Of all that run. */
unsigned children_calls(const struct children *children);
/** Text for systemd's status: "worker 1 died 4 times in a row". @return false: all is well */
bool children_describe_loop(const struct children *children, uint64_t now, char *text, size_t size);
/** When the next one may start: at once, or later and later where they die young. */
void children_plan_respawn(struct children *children, unsigned number, uint64_t now);
/** ms until the next respawn is due, or -1 where none is planned. */
int children_respawn_wait(const struct children *children, uint64_t now);

#endif
