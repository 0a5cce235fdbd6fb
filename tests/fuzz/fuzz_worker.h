/* SPDX-License-Identifier: MIT */
/* A whole worker for fuzz targets, and connections to it. */
#ifndef ROSTERD_TESTS_FUZZ_FUZZ_WORKER_H
#define ROSTERD_TESTS_FUZZ_FUZZ_WORKER_H

#include <stddef.h>
#include <stdint.h>

#include "tests/bench/bench_worker.h"

/** What a client sends first: the connection preface and an empty SETTINGS frame. */
enum { FUZZ_GREETING_SIZE = 33 };
extern const uint8_t fuzz_greeting[FUZZ_GREETING_SIZE];

extern struct worker fuzz_worker;

/** Starts the worker at the first call. It ends with the process.
 * @param target the fuzz target's name, for the segment's name and for messages */
void fuzz_worker_start(const char *target, uint64_t max_users);
/** Opens a connection to the worker. @return the client's socket, which does not block; -1: failed
 */
int fuzz_worker_connect(void);
/** Turns the worker's loop once, and discards what the worker has sent. */
void fuzz_worker_turn(int fd);
/** Closes the connection. Ends the process with a message if the worker keeps anything of it. */
void fuzz_worker_disconnect(int fd);

#endif
