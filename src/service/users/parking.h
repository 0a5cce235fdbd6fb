/* SPDX-License-Identifier: MIT */
/*
 * A call that cannot go on now and tries again soon: for the writer lock, for the journal, or for a
 * free pin. The call waits on a timer, and the worker serves others meanwhile. The delay between
 * two tries doubles up to PARKING_DELAY_MAX_MS.
 */
#ifndef ROSTERD_SERVICE_USERS_PARKING_H
#define ROSTERD_SERVICE_USERS_PARKING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/timer.h"
#include "grpc/grpc.h"
#include "shm/store.h"

enum {
    PARKING_DELAY_MIN_MS = 1,
    PARKING_DELAY_MAX_MS = 32,
    PARKING_TOTAL_MS = 1000, /* from the first try to the last */
};

/** A part of the call's state. Zeroed: not parked. */
struct parking {
    struct timer timer;
    struct grpc_call *call;
    void (*retry)(struct grpc_call *call);
    uint64_t began; /* ms; the first try */
    uint64_t until; /* ms; the last try is due then; 0: not parked */
    uint32_t delay; /* ms until the next try */
};

static inline bool parking_is_parked(const struct parking *parking)
{
    return parking->until != 0;
}

/** Calls retry(call) after a delay, from a timer. retry() calls parking_enter() again if it fails,
 * or parking_leave() if it succeeds.
 * @return false: the call has waited for PARKING_TOTAL_MS and should give up; no timer is armed */
bool parking_enter(struct parking *parking, struct grpc_call *call,
                   void (*retry)(struct grpc_call *call));
/**
 * As parking_enter(), for a write that found SHM_EBUSY. While the journal is behind, the call waits
 * as long as for a commit (disk_patience.h); PARKING_TOTAL_MS count from when it was behind last.
 */
bool parking_enter_write(struct parking *parking, struct grpc_call *call,
                         void (*retry)(struct grpc_call *call), const struct shm_store *store);
/** Called when a try has succeeded, and at the end of the call. Does nothing when not parked. */
void parking_leave(struct parking *parking, struct grpc_call *call);

#endif
