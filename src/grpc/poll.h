/* SPDX-License-Identifier: MIT */
/*
 * Busy polling, for one kind of traffic only: a client that asks one small
 * thing, waits for the answer, and asks the next at once. There, most of the
 * time between two calls is the kernel putting this process to sleep and
 * waking it; looking again for some microseconds answers much sooner.
 *
 * Polling begins only after a turn of the loop that handled one small request
 * which came within twice the bound (half of that is how long sleeping and
 * waking take), and a poll that finds nothing ends it, for the next requests
 * too: so a server whose client is gone polls once and sleeps, one whose
 * clients are slower hardly polls, and a busy one, whose turns bring many
 * requests, never does.
 */
#ifndef ROSTERD_GRPC_POLL_H
#define ROSTERD_GRPC_POLL_H

#include <stdbool.h>
#include <stdint.h>

#include "http2/http2.h"

struct grpc_poll {
    uint64_t bound_ns; /* 0: never */
    bool eager;        /* the last turn was of the kind that is worth it */
    uint8_t holdoff;   /* such turns to let pass, after a poll in vain */
    uint64_t bytes_in, streams;
};

void grpc_poll_init(struct grpc_poll *poll, uint32_t bound_us);
/** One turn of the loop: polls, where that is worth it, and else waits up to wait_ms for events;
 * handles them. */
void grpc_poll_turn(struct grpc_poll *poll, struct http2_context *http2, int32_t wait_ms);

#endif
