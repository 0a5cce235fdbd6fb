/* SPDX-License-Identifier: MIT */
/*
 * A worker's side of the pool. A request waits in this worker's memory until one of a few places in
 * the channel is free; so a request whose caller has gone costs nothing, and the queue of one
 * worker does not delay another worker's. Nothing here blocks.
 *
 * To be used by one thread only, the one of the worker's event loop.
 */
#ifndef ROSTERD_PASSWORD_POOL_CLIENT_H
#define ROSTERD_PASSWORD_POOL_CLIENT_H

#include "base/timer.h"
#include "password/pool_channels.h"
#include "password/pool_message.h"

enum { POOL_IN_FLIGHT_MAX = 65 };

struct pool_client_config {
    struct pool_channels *channels;
    unsigned place;
    struct timers *timers;
    unsigned in_flight; /* requests in the channel at a time, at most POOL_IN_FLIGHT_MAX: more than
                         * the pool has processes, so that none of them waits for this worker */
    uint64_t queue;     /* requests of all workers, waiting or worked on: more are refused */
    uint64_t patience;  /* ms: without an answer for so long, a request is POOL_LOST */
    struct password_cost cost;
    struct password_limits limits;
};

struct pool_client;
struct pool_job;

/** In a worker, after fork. @return NULL: out of memory, or the place has no channel */
struct pool_client *pool_client_create(const struct pool_client_config *config);
/** Drops all requests without calling anyone. NULL is allowed. */
void pool_client_destroy(struct pool_client *client);
/** The descriptor that becomes readable when pool_client_read() is to be called. Stays the
 * client's. */
int pool_client_fd(const struct pool_client *client);
/** Takes the answers that have come, and calls `done` of their tickets. */
void pool_client_read(struct pool_client *client);

/** A caller's handle of its request: a member of what the caller keeps for its call. Zeroed except
 * for `done`. */
struct pool_ticket {
    /**
     * The request has ended, and the ticket is free. May submit another request, and may free what
     * the ticket is in.
     * @param hash see struct pool_answer; overwritten after the call
     */
    void (*done)(struct pool_ticket *ticket, enum pool_outcome outcome, const char *hash);
    struct pool_job *job; /* NULL: it has no request */
};

struct pool_task {
    enum pool_operation operation;
    const char *password; /* at most PASSWORD_MAX bytes; copied */
    size_t password_len;
    const char *hash;  /* of POOL_VERIFY: at most PASSWORD_HASH_MAX bytes and a NUL; copied */
    uint64_t deadline; /* ms of the timers' clock, after which nobody waits; CLOCK_NEVER_MS */
    bool bulk; /* one of many that can wait: it leaves three quarters of the queue to others */
};

enum pool_submitted {
    POOL_SUBMITTED,
    POOL_FULL,      /* too many requests wait already */
    POOL_NO_MEMORY, /* of this process */
};
/** Submits a request; `done` is called once, later, unless the ticket is cancelled.
 * @param ticket has no request */
enum pool_submitted pool_client_submit(struct pool_client *client, struct pool_ticket *ticket,
                                       const struct pool_task *task);
/** The caller has gone: `done` is not called any more. Does nothing if there is no request. */
void pool_ticket_cancel(struct pool_ticket *ticket);

/** The requests of this worker, waiting or worked on. */
unsigned pool_client_load(const struct pool_client *client);

#endif
