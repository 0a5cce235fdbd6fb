/* SPDX-License-Identifier: MIT */
/*
 * Which clients may connect: admission bounds the connections of all workers together, and those
 * from one address.
 *
 * The counts lie in memory that the master and all workers share. Each worker has a place, which is
 * a row of counters that only this worker writes. The master assigns places to the workers of all
 * generations, and clears the row of a worker that is gone. A count is the sum over all rows.
 *
 * Two workers that accept at the same moment do not see each other's newest connection, so a bound
 * may be exceeded by at most the number of workers.
 *
 * Addresses are not stored. A keyed hash of the address selects one counter in each of two sets,
 * and the smaller of the two counters is taken as the address's count. Other addresses falsify it
 * only when they share both counters, which takes many thousand of them. An IPv6 client is counted
 * by its /64, because a host usually owns a whole one. An IPv4 client is counted by its full
 * address, also when it connects to an IPv6 socket (::ffff:192.0.2.1).
 */
#ifndef ROSTERD_SERVER_WORKER_ADMISSION_H
#define ROSTERD_SERVER_WORKER_ADMISSION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum admission_result { ADMISSION_GRANTED, ADMISSION_FULL, ADMISSION_ADDRESS_FULL };

struct admission;

enum { ADMISSION_PLACES = 1024 }; /* workers at the same time, of all generations */

/** Called by the master, before it forks. @return NULL with errno set */
struct admission *admission_create(void);
/** Unmaps this process's view. NULL is allowed. */
void admission_destroy(struct admission *admission);

/** Called by the master: assigns a place to a new worker. @return false: all places are taken */
bool admission_take_place(struct admission *admission, unsigned *place);
/** Called by the master once the worker is gone, and its connections with it: clears the row and
 * frees the place. */
void admission_free_place(struct admission *admission, unsigned place);

struct admission_bounds {
    uint64_t connections;
    uint64_t per_address; /* 0: no bound */
};
/** What a granted connection has added, to be taken back by admission_leave(). */
struct admission_pass {
    uint32_t at[2]; /* the address's counter in each set */
    bool counted;   /* false: only the connection is counted, not its address */
};

/**
 * Called by the worker with this place when it has accepted a connection.
 * @param address a unix socket's has no address to count: only bounds->connections holds
 * @param pass set when the result is ADMISSION_GRANTED
 */
enum admission_result admission_enter(struct admission *admission, unsigned place,
                                      const struct admission_bounds *bounds,
                                      const struct sockaddr *address, struct admission_pass *pass);
/** Called by the same worker when the connection has closed. */
void admission_leave(struct admission *admission, unsigned place,
                     const struct admission_pass *pass);

#endif
