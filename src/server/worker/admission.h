/* SPDX-License-Identifier: MIT */
/*
 * Who may connect: a bound on connections of all workers together, and one on those of one
 * address. Counts lie in memory that master and workers share: each worker has a place, whose
 * row it alone writes; the master gives places, to the workers of all generations, and clears the
 * row of one that is gone.
 *
 * Two workers that accept in the same moment do not see each other's newest connection, so a bound
 * may be passed by as many as there are workers. Addresses are counted by a keyed hash in two
 * sets of counters, of which the smaller counts: others that share both of an address's counters
 * would have to be many thousand. IPv6 clients are counted by their /64, for a host has all of it;
 * IPv4 clients by their whole address, by whichever family's socket they came.
 */
#ifndef ROSTERD_SERVER_WORKER_ADMISSION_H
#define ROSTERD_SERVER_WORKER_ADMISSION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum admission_result { ADMISSION_GRANTED, ADMISSION_FULL, ADMISSION_ADDRESS_FULL };

struct admission;

enum { ADMISSION_PLACES = 1024 };

/** Before fork. @return NULL with errno set */
struct admission *admission_create(void);
void admission_destroy(struct admission *admission);

/** The master's: a place for a new worker, or -1 where all are taken. */
int admission_place(struct admission *admission);
/** Its worker is gone, and its connections with it. */
void admission_forget(struct admission *admission, unsigned place);

struct admission_bounds {
    uint64_t connections;
    uint64_t per_address; /* 0: no bound */
};
/** What a granted connection gives back. */
struct admission_pass {
    uint32_t at[2];
    bool counted; /* its address is */
};

/** A connection came. A unix socket has no address: only the common bound holds. */
enum admission_result admission_enter(struct admission *admission, unsigned place,
                                      const struct admission_bounds *bounds,
                                      const struct sockaddr *address, struct admission_pass *pass);
void admission_leave(struct admission *admission, unsigned place,
                     const struct admission_pass *pass);

#endif
