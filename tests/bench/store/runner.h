/* SPDX-License-Identifier: MIT */
/* Runs a party in a process that takes orders over a pipe. */
#ifndef ROSTERD_TESTS_BENCH_RUNNER_H
#define ROSTERD_TESTS_BENCH_RUNNER_H

#include <sys/types.h>

#include "tests/bench/store/bench.h"

struct runner {
    pid_t pid; /* 0: no process */
    int to, from;
};

/** Sets up what all runners share. Call it before the first runner_start(). */
void runner_init(void);
/** Starts a runner, and returns when its table is ready. */
void runner_start(struct runner *runner, const struct bench_party *party, const char *file,
                  unsigned role, uint64_t users, uint64_t loaded);
/** Starts an operation; runner_answer() waits for its end. */
void runner_ask(const struct runner *runner, enum bench_op op, uint64_t count);
double runner_answer(const struct runner *runner);
/** Starts an operation and waits for its end. */
double runner_do(const struct runner *runner, enum bench_op op, uint64_t count);
/** Tells the party to close its table and to end. */
void runner_stop(struct runner *runner);
/** Kills the party's process, if there is one. */
void runner_kill(struct runner *runner);

#endif
