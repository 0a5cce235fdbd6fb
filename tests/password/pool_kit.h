/* SPDX-License-Identifier: MIT */
/*
 * A pool with its master and its workers, without a server. The test is the master: it forks the
 * processes of the pool and the workers. cmocka's assertions leave the function that they are in,
 * so forked processes use CHECK().
 */
#ifndef ROSTERD_TESTS_PASSWORD_POOL_KIT_H
#define ROSTERD_TESTS_PASSWORD_POOL_KIT_H

#include <stdio.h>
#include <sys/types.h>
#include <unistd.h>

#include "password/pool_client.h"
#include "password/pool_server.h"

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

enum { KIT_PROCESSES = 4, KIT_IN_FLIGHT = 3 };

struct pool_kit {
    struct pool_channels *channels;
    struct pool_board *boards;
    unsigned count;
    pid_t processes[KIT_PROCESSES];
    uint64_t *shared; /* 64 numbers that all processes of the test share */
};

/** @param count processes, which are started */
void kit_open(struct pool_kit *kit, unsigned count);
void kit_close(struct pool_kit *kit);
void kit_start_process(struct pool_kit *kit, unsigned number);
/** Kills a process and does what the master does then. @return waitpid()'s status */
int kit_end_process(struct pool_kit *kit, unsigned number, int signal);
/** Waits until a process works on a request. */
void kit_wait_busy(const struct pool_kit *kit, unsigned number);

/** A worker's process, in itself. */
struct kit_worker {
    struct pool_kit *kit;
    struct pool_client *client;
    struct timers *timers;
    unsigned place;
    unsigned done, outcomes[POOL_LOST + 1];
    char hash[PASSWORD_HASH_MAX + 1]; /* of the last answer */
};

struct kit_request {
    struct pool_ticket ticket;
    struct kit_worker *worker;
    enum pool_outcome outcome;
    unsigned times; /* that it was done */
};

struct kit_bounds {
    uint64_t queue, patience;
    struct password_cost cost;
};

/** Forks a worker that runs `run` and ends. @return its pid */
pid_t kit_worker(struct pool_kit *kit, unsigned place, const struct kit_bounds *bounds,
                 void (*run)(struct kit_worker *worker));
/** Waits for a worker, and does what the master does when one has ended.
 * @return its exit status; -1: it was killed */
int kit_bury_worker(struct pool_kit *kit, unsigned place, pid_t pid);

enum pool_submitted kit_submit(struct kit_worker *worker, struct kit_request *request,
                               enum pool_operation operation, const char *password,
                               const char *hash, uint64_t deadline);
/** A turn of the worker's loop, of at most 20 ms. */
void kit_turn(struct kit_worker *worker);
/** Turns until `done` is reached; fails after half a minute. */
void kit_turn_until(struct kit_worker *worker, unsigned done);

/** Waits until the condition is true; fails after half a minute. */
#define WAIT_FOR(condition)                                                                        \
    do {                                                                                           \
        uint64_t wait_until = clock_monotonic_ms() + 30000;                                        \
        while (!(condition)) {                                                                     \
            CHECK(clock_monotonic_ms() < wait_until);                                              \
            usleep(500);                                                                           \
        }                                                                                          \
    } while (0)

/** Argon2id of "hunter2": 1 MiB, one pass. */
extern const char kit_hash[];
extern const struct kit_bounds kit_cheap, kit_usual;

#endif
