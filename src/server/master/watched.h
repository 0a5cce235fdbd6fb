/* SPDX-License-Identifier: MIT */
/* A process that the master started, as the master watches it: whether it gets on, and when it is
 * started again after its death. Workers, the journal and the processes for passwords have this in
 * common. */
#ifndef ROSTERD_SERVER_MASTER_WATCHED_H
#define ROSTERD_SERVER_MASTER_WATCHED_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/** Times are ms of the monotonic clock. */
struct watched {
    pid_t pid;             /* 0: it does not run */
    uint32_t turns_seen;   /* at the last look */
    uint64_t turned_at;    /* when turns_seen last changed */
    unsigned quick_deaths; /* in a row, each soon after its start */
    uint64_t started_at;   /* or when a fork failed: the back-off counts that, too */
    uint64_t respawn_at;   /* when to start it, while it does not run */
};

/** A text such as "worker 3", for the log. */
struct watched_name {
    char text[32];
};
/** @param number of the process; a negative one: there is no other of this kind */
struct watched_name watched_name_of(const char *kind, int number);

/** Before the process is forked. */
void watched_start(struct watched *process, uint64_t now);
/**
 * Forks a process that dies with the master: unsupervised, it would hold the segment and serve.
 * @return as fork()
 */
pid_t watched_fork(struct watched *process, struct watched_name name, uint64_t now);
/** In a process that was just forked: ends it when the master has died or dies. */
void watched_die_with(pid_t master);

/** Sets when a dead process is started again: at once, or after a delay that doubles with each
 * quick death in a row. */
void watched_plan_respawn(struct watched *process, struct watched_name name, uint64_t now);

/** Whether the machine stood still since the last look, which is made once a second at least: then
 * all processes get their full timeout again. Notes this look. */
bool watched_gap(uint64_t *looked_at, uint64_t now);
/**
 * Looks whether a process that runs gets on, and kills it if it has not for `timeout` ms.
 * @param turns that it counts; written by the process @param gap watched_gap()
 * @return whether it has got on since the last look
 */
bool watched_look(struct watched *process, struct watched_name name, const uint32_t *turns,
                  bool gap, uint64_t timeout, uint64_t now);

#endif
