/* SPDX-License-Identifier: MIT */
/*
 * Calls that wait for the disk. A call that wrote is answered when its commit is published, and a
 * call that another user's commit refused when that one is: before that, a power cut could undo
 * what the client was told. Without a data file each commit is published at once, and no call
 * waits.
 *
 * The worker serves others meanwhile. The journal wakes it (service.settle, service/core/service.h)
 * when the first of its calls can go on. A timer looks as well, every few milliseconds, because the
 * journal may be another program's, which does not know this worker, or may have died just before
 * it would have woken it.
 */
#ifndef ROSTERD_SERVICE_USERS_COMMIT_WAIT_H
#define ROSTERD_SERVICE_USERS_COMMIT_WAIT_H

#include <stdbool.h>
#include <stdint.h>
#include <urcu/list.h>

#include "base/timer.h"
#include "grpc/grpc.h"
#include "shm/disk.h"
#include "shm/store.h"

/** A part of the call's state. Zeroed: it does not wait. */
struct commit_wait {
    struct cds_list_head link; /* in commit_waits.calls */
    struct grpc_call *call;    /* NULL: it does not wait */
    struct commit_waits *waits;
    void (*published)(struct grpc_call *call);
    uint64_t version;
    uint64_t began;    /* ms */
    struct timer over; /* it has waited enough */
};

/** One per worker. */
struct commit_waits {
    const struct shm_store *store;
    struct shm_actor *actor;
    struct cds_list_head calls; /* struct commit_wait, almost in order of versions */
    unsigned num;               /* of calls */
    struct timer look;          /* armed while a call waits */
    struct grpc_server *server; /* once a call has waited */
    uint64_t noted;             /* the version of shm_wait_begin(); 0: none */
    uint64_t noted_ns;          /* when that was */
    uint64_t took_ns;           /* from there until the commit was published, the last time */
    bool answered;              /* calls go on in this commit_waits_settle() */
    struct shm_disk_info disk;  /* when the timer looked last */
};

void commit_waits_init(struct commit_waits *waits, const struct shm_store *store,
                       struct shm_actor *actor);

static inline bool commit_is_published(const struct commit_waits *waits, uint64_t version)
{
#ifdef JOURNAL_MUTANT_EARLY_ACK
    return true;
#endif
    return version <= shm_published(waits->store);
}

/**
 * The call waits for the commit. `published` is called when it is published, from the loop. If the
 * disk is full, has failed or takes too long, the call ends instead (disk_patience.h).
 */
void commit_wait_enter(struct commit_waits *waits, struct commit_wait *wait, struct grpc_call *call,
                       uint64_t version, void (*published)(struct grpc_call *call));
/** At the end of a call for which commit_wait_waits(). */
void commit_wait_leave(struct commit_waits *waits, struct commit_wait *wait);
static inline bool commit_wait_waits(const struct commit_wait *wait)
{
    return wait->call != NULL;
}

/** Lets the calls go on whose commit is published, and notes which one the others wait for. Called
 * when the journal wakes the worker, and after each turn of the loop. Cheap when no call waits. */
void commit_waits_settle(struct commit_waits *waits);

#endif
