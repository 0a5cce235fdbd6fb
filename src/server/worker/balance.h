/* SPDX-License-Identifier: MIT */
/*
 * Which worker takes a new connection: the one with the fewest connections. gRPC clients keep a few
 * connections open for a long time, so where they land once decides for hours how busy each worker
 * is.
 *
 * All workers watch the same listening sockets. A worker that has more connections than another
 * one leaves a new connection to that worker: it wakes it, and does not watch the listeners for
 * BALANCE_PATIENCE_MS. If the woken worker has not run by then (it is stopped, or busy with
 * something long), it is passed over from then on, until it runs again. So a worker that hangs
 * delays one client, by that time at most.
 *
 * The counts lie in memory that the master and the workers of one generation share. A worker writes
 * its own row; other workers write only its `passed_over`; the master clears the row of a worker
 * that is gone.
 */
#ifndef ROSTERD_SERVER_WORKER_BALANCE_H
#define ROSTERD_SERVER_WORKER_BALANCE_H

#include <stdbool.h>
#include <stdint.h>

enum { BALANCE_PATIENCE_MS = 40 };

struct balance; /* of one generation of workers */

/** Called by the master, before it forks. @return NULL with errno set */
struct balance *balance_create(unsigned workers);
/** Closes and unmaps this process's view. NULL is allowed. */
void balance_destroy(struct balance *balance);

/* ---- for a worker ---- */

/** Declares whether the worker accepts connections; it does not while it drains, or has run out of
 * descriptors. Workers that do not accept are not considered. */
void balance_accepting(struct balance *balance, unsigned worker, bool accepts);
/** Adds to the worker's count of connections; negative when they have closed. */
void balance_add(struct balance *balance, unsigned worker, int connections);
/** Declares that the worker runs. To be called once per turn of its loop. */
void balance_turn(struct balance *balance, unsigned worker);
/** The descriptor that becomes readable when another worker wakes this one. Stays the balance's. */
int balance_wake_fd(const struct balance *balance, unsigned worker);
/** Makes that descriptor unreadable again. */
void balance_awake(struct balance *balance, unsigned worker);

/** Whether this generation takes no connections any more: balance_close(). */
bool balance_is_closed(const struct balance *balance);
/** The worker that a connection was left to, and its turn at that time. */
struct balance_left {
    unsigned worker;
    uint32_t turn;
};
/**
 * Decides about a connection that waits.
 * @return true: take it. false: another worker, which is set in `left`, has fewer connections and
 *   was woken. Try again after BALANCE_PATIENCE_MS or when woken; in the first case call
 *   balance_pass_over() before.
 */
bool balance_take(struct balance *balance, unsigned worker, struct balance_left *left);
/** Whether balance_take() would return true. Wakes no other worker. */
bool balance_is_next(const struct balance *balance, unsigned worker);
/** To be called BALANCE_PATIENCE_MS after balance_take() returned false: when the other worker has
 * not run at all since then, it is not considered until it runs. */
void balance_pass_over(struct balance *balance, const struct balance_left *left);

/* ---- for the master ---- */

/** Clears the row of a worker that is gone, and its connections with it. */
void balance_forget(struct balance *balance, unsigned worker);
/**
 * From now on no worker of this generation takes a connection, because the next generation does.
 * Must be called before the master tells these workers to drain. Otherwise a client that one of
 * them has sent away could connect to another one and be sent away again; gRPC clients retry a call
 * that was refused transparently once, but not twice.
 */
void balance_close(struct balance *balance);
/** The connections of all workers. */
uint64_t balance_connections(const struct balance *balance);

#endif
