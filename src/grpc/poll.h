/* SPDX-License-Identifier: MIT */
/*
 * Busy polling: a turn of the loop looks for events again and again for some microseconds, instead
 * of letting the kernel put this process to sleep and wake it up. There are two occasions.
 *
 * One is a client that sends one small request, waits for the reply, and sends the next request at
 * once. Most of the time between two such calls goes into sleeping and waking. A turn polls only if
 * the turn before it handled exactly one small request, and took less than twice the bound (half of
 * that is what sleeping and waking take).
 *
 * The other is calls that wait for something which takes not much longer than a poll: a disk. The
 * clients wait for this process, and the disk has nothing to do before their next requests.
 * Whoever knows of such calls says by grpc_poll_expect() how long they will wait. Then the next
 * turn polls, however many calls there are.
 *
 * A poll that finds nothing stops polling, for the next such occasions, too. So a server whose
 * clients are gone polls once and then sleeps; one whose clients are slower hardly polls; a busy
 * one, whose turns bring many requests that need no disk, never does.
 */
#ifndef ROSTERD_GRPC_POLL_H
#define ROSTERD_GRPC_POLL_H

#include <stdbool.h>
#include <stdint.h>

#include "http2/http2.h"

enum { GRPC_POLL_TIMES = 10 };

struct grpc_poll {
    uint64_t bound_ns;    /* how long one poll may take; 0: never poll */
    bool eager;           /* a small request came alone in the last turn */
    uint8_t holdoff;      /* occasions that are left out, after a poll in which nothing came */
    uint64_t expected_ns; /* the next turn polls for so long, whatever came; 0: it does not */
    uint64_t bytes_in, streams; /* http2's counts after the last turn */
};

/** @param bound_us how long one poll may take, in microseconds; 0: never poll */
void grpc_poll_init(struct grpc_poll *poll, uint32_t bound_us);
/** Something that calls wait for is expected in about `ns`. Called after a turn, or in it. If that
 * is at most GRPC_POLL_TIMES the bound, the next turn polls for up to twice `ns`, and at most that
 * often the bound. */
void grpc_poll_expect(struct grpc_poll *poll, uint64_t ns);
/** Runs one turn of the loop: polls if that is promising, otherwise waits up to wait_ms for events;
 * handles them. */
void grpc_poll_turn(struct grpc_poll *poll, struct http2_context *http2, int32_t wait_ms);

#endif
