/* SPDX-License-Identifier: MIT */
/*
 * Busy polling, for one kind of traffic only: a client that sends one small request, waits for the
 * reply, and sends the next request at once. Most of the time between two such calls goes into the
 * kernel putting this process to sleep and waking it up. Polling for some microseconds instead
 * makes replies much faster.
 *
 * A turn of the loop polls only if the turn before it handled exactly one small request, and took
 * less than twice the bound (half of that is what sleeping and waking take). A poll that finds
 * nothing stops polling, for the next such requests, too. So a server whose client is gone polls
 * once and then sleeps; one whose clients are slower hardly polls; a busy one, whose turns bring
 * many requests, never does.
 *
 * A call may have to wait for a disk, which takes longer than one poll. The poll would end in vain,
 * and the process would sleep when the disk is ready. Whoever knows of such a call says so by
 * grpc_poll_longer().
 */
#ifndef ROSTERD_GRPC_POLL_H
#define ROSTERD_GRPC_POLL_H

#include <stdbool.h>
#include <stdint.h>

#include "http2/http2.h"

struct grpc_poll {
    uint64_t bound_ns;          /* how long one poll may take; 0: never poll */
    bool eager;                 /* the next turn polls */
    uint8_t holdoff;            /* turns that do not poll, after a poll in which nothing came */
    uint8_t times;              /* the next poll takes up to so many times as long; 0: once */
    uint64_t bytes_in, streams; /* http2's counts after the last turn */
};

/** @param bound_us how long one poll may take, in microseconds; 0: never poll */
void grpc_poll_init(struct grpc_poll *poll, uint32_t bound_us);
/** The next turn polls for up to `times` as long, if it polls. Called after a turn. */
static inline void grpc_poll_longer(struct grpc_poll *poll, uint8_t times)
{
    poll->times = times;
}
/** Runs one turn of the loop: polls if that is promising, otherwise waits up to wait_ms for events;
 * handles them. */
void grpc_poll_turn(struct grpc_poll *poll, struct http2_context *http2, int32_t wait_ms);

#endif
