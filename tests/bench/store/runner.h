/* SPDX-License-Identifier: MIT */
/* A party's process, asked over a pipe. */
#ifndef ROSTERD_TESTS_BENCH_RUNNER_H
#define ROSTERD_TESTS_BENCH_RUNNER_H

#include <sys/types.h>

#include "tests/bench/store/bench.h"

struct runner {
    pid_t pid; /* 0: none */
    int to, from;
};

/** Before the first runner: what all of them share. */
void runner_init(void);
/** Starts one, and returns when its table is there. */
void runner_start(struct runner *runner, const struct bench_party *party, const char *file,
                  unsigned role, uint64_t users, uint64_t loaded);
/** Begins an operation; runner_answer() waits for its end. */
void runner_ask(const struct runner *runner, enum bench_op op, uint64_t count);
double runner_answer(const struct runner *runner);
/** Both, one after the other. */
double runner_do(const struct runner *runner, enum bench_op op, uint64_t count);
/** Lets it close its table and end. */
void runner_stop(struct runner *runner);
/** Kills it, if there is one. */
void runner_kill(struct runner *runner);

#endif
