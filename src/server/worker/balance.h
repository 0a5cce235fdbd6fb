/* SPDX-License-Identifier: MIT */
/*
 * Which worker takes a new connection: the one that has the fewest. gRPC's clients keep few
 * connections for long, so where they fall once decides for hours how busy each worker is.
 *
 * All workers watch the same listening sockets. One that has more connections than another
 * leaves a new one to it: it wakes the other, and looks elsewhere for BALANCE_PATIENCE_MS. A worker
 * that was woken and has not run since (stopped, or deep in something) is passed over from then on,
 * until it runs again: it makes a client wait once, for that time at most.
 *
 * The counts lie in memory that master and workers share; each row is written by its worker
 * (`passed_over` also by the others), and by the master when its worker is gone.
 */
#ifndef ROSTERD_SERVER_WORKER_BALANCE_H
#define ROSTERD_SERVER_WORKER_BALANCE_H

#include <stdbool.h>
#include <stdint.h>

enum { BALANCE_PATIENCE_MS = 40 };

struct balance; /* of one generation of workers */

/** Before fork. @return NULL with errno set */
struct balance *balance_create(unsigned workers);
/** In a worker its own view of it. NULL is nothing to do. */
void balance_destroy(struct balance *balance);

/* ---- a worker's ---- */

/** From now on it takes connections, or not (it has no descriptors left, it drains). */
void balance_accepting(struct balance *balance, unsigned worker, bool accepts);
void balance_add(struct balance *balance, unsigned worker, int connections);
/** Once each turn of its loop: it runs. */
void balance_turn(struct balance *balance, unsigned worker);
/** The descriptor that others wake it by: readable then. */
int balance_wake_fd(const struct balance *balance, unsigned worker);
/** Takes note of having been woken. */
void balance_awake(struct balance *balance, unsigned worker);

/** Whether it is another generation's turn. */
bool balance_is_closed(const struct balance *balance);
/** A worker that was left a connection, and what it was at then. */
struct balance_left {
    unsigned worker;
    uint32_t turn;
};
/**
 * A connection waits. @return true: take it; false: it was left to another, who was woken. Look
 * again after BALANCE_PATIENCE_MS or when woken; call balance_pass_over() in the first case.
 */
bool balance_take(struct balance *balance, unsigned worker, struct balance_left *left);
/** Whether a connection would be this worker's, if one waited. Nobody is woken. */
bool balance_is_next(const struct balance *balance, unsigned worker);
/** The time is over: if the other has not run at all it does not count any more. */
void balance_pass_over(struct balance *balance, const struct balance_left *left);

/* ---- the master's ---- */

/** The worker is gone, and its connections with it. */
void balance_forget(struct balance *balance, unsigned worker);
/**
 * From now on none of these workers takes a connection: another generation does. Before they are
 * told to drain, or a client that one of them has sent away could come to the next, and be sent
 * away again: gRPC clients try a call that was refused once more, and no third time.
 */
void balance_close(struct balance *balance);
/** Of all workers. */
uint64_t balance_connections(const struct balance *balance);

#endif
