/* SPDX-License-Identifier: MIT */
/*
 * A whole worker inside this process, without its sockets: loop, runtime,
 * service, store, counters. For programs that count or attack what it does.
 */
#ifndef ROSTERD_TESTS_BENCH_WORKER_H
#define ROSTERD_TESTS_BENCH_WORKER_H

#include "service/core/chain.h"
#include "service/observe/stats.h"
#include "service/users/user_service.h"
#include "shm/counters.h"
#include "shm/store.h"

struct worker {
    h2o_loop_t *loop;
    struct shm_store *store;
    struct shm_actor *actor;
    struct shm_counters *counters;
    void *service; /* the data of user_service */
    struct grpc_server *server;
    struct stats *stats;
    struct chain *chain;
    struct access_log *access_log;
    struct auth *auth;
    struct stats_board board;
};

/** The id of one of the users that worker_start() made. */
extern uint8_t worker_known_id[SHM_ID_SIZE];

/* What stands in the chain. */
enum { WORKER_METRICS = 1, WORKER_LOG = 2, WORKER_TOKENS = 4 };
/** The token that a worker with WORKER_TOKENS knows, one of a thousand. */
#define WORKER_TOKEN "0123456789abcdefghijklmnopqrstuvwxyz-token"

/** Creates the segment, with `users` users of known ids in it, and takes its name away again. Ends
 * the process on failure. */
void worker_start(struct worker *worker, const char *segment, unsigned users, uint64_t max_users,
                  unsigned parts);
/** One turn of its loop, without waiting. */
void worker_turn(struct worker *worker);
/** Frees all, the segment with it. */
void worker_end(struct worker *worker);

void worker_die(const char *what, const char *why) __attribute__((noreturn));

#endif
