/* SPDX-License-Identifier: MIT */
/*
 * A whole worker in this process, without its sockets: loop, runtime, service, store, counters. For
 * programs that count its work or attack it.
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

/** Id of one of the users that worker_start() creates. */
extern uint8_t worker_known_id[SHM_ID_SIZE];

/* Parts of the chain; bits that can be combined. */
enum { WORKER_METRICS = 1, WORKER_LOG = 2, WORKER_TOKENS = 4, WORKER_HASHED_TOKENS = 8 };
/** The valid token of a worker with WORKER_TOKENS, one of a thousand in its file. */
#define WORKER_TOKEN "0123456789abcdefghijklmnopqrstuvwxyz-token"
/** The same token as a line of a file with WORKER_HASHED_TOKENS has it. */
#define WORKER_TOKEN_HASH "sha256:495068eb1bcda10577a0dfad6c819e7f157fd7f3bfdd609fb895c7559aa0903a"

/** Creates the segment with `users` users of known ids, and removes its name. Ends the process
 * on failure. */
void worker_start(struct worker *worker, const char *segment, unsigned users, uint64_t max_users,
                  unsigned parts);
/** Runs one turn of the worker's loop, without waiting. */
void worker_turn(struct worker *worker);
/** Frees everything, including the segment. */
void worker_end(struct worker *worker);

void worker_die(const char *what, const char *why) __attribute__((noreturn));

#endif
