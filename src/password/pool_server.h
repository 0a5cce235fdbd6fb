/* SPDX-License-Identifier: MIT */
/*
 * A process of the pool: it takes a request, computes, answers, and takes the next one. Workers get
 * their turn one after another, whatever they have queued.
 *
 * Its memory is that of Argon2 while it computes, and some hundred KiB otherwise. It leaves no
 * core, whatever core-dumps says, because libraries have passwords in their memory and on their
 * stacks.
 */
#ifndef ROSTERD_PASSWORD_POOL_SERVER_H
#define ROSTERD_PASSWORD_POOL_SERVER_H

#include "base/fault.h"
#include "password/pool_channels.h"

/** What the process shows its master, in memory that both share. */
struct pool_board {
    uint32_t turns; /* increases at least once a second, except while it computes */
    uint32_t busy;  /* whether the next three say what it works on */
    uint32_t place;
    uint64_t owner, id;
    uint64_t served; /* requests that it has answered */
};

struct pool_server;

/**
 * Makes this process one of the pool: it leaves no core and nobody may trace it, and it gives way
 * to other processes.
 * @param channels are changed: pool_channels_serve()
 * @return NULL: the reason
 */
struct pool_server *pool_server_open(struct pool_channels *channels, struct pool_board *board,
                                     struct fault *fault);
void pool_server_close(struct pool_server *server);

/** Serves one request, or waits for one. A signal's handler ends the wait.
 * @param wait_ms how long to wait */
void pool_server_turn(struct pool_server *server, int wait_ms);

#endif
