/* SPDX-License-Identifier: MIT */
/*
 * What a peer may do that costs us and does nothing: resets, pings, settings,
 * window updates, empty frames. RFC 9113 10.5 leaves the bounds to the server;
 * gRPC's A8 gives those of PING. Beyond them the connection ends with
 * ENHANCE_YOUR_CALM.
 *
 * Each such frame takes from a credit; time refills it, and so does each DATA
 * frame that we send, for an honest client's window updates follow those, and each
 * request that we answer to its end: gRPC C++ sends a window update with each call,
 * also where the answer is a status alone.
 */
#ifndef ROSTERD_HTTP2_CALM_H
#define ROSTERD_HTTP2_CALM_H

#include <stdbool.h>
#include <stdint.h>

#include "http2/limits.h"

struct http2_calm {
    uint64_t refilled_ms; /* 0: never */
    uint64_t ping_ms;     /* of the last one; 0: none since we sent something */
    int32_t credit;
    uint8_t strikes;
};

/** @return false: the credit is used up */
bool http2_calm_spend(struct http2_calm *calm, int32_t cost, uint64_t now_ms);
/** @param interval_ms that must lie between two pings
 * @return false: one ping too many */
bool http2_calm_ping(struct http2_calm *calm, uint64_t interval_ms, uint64_t now_ms);

/** We sent DATA, or the end of an answer. */
static inline void http2_calm_earn(struct http2_calm *calm)
{
    if (calm->credit < HTTP2_CREDIT_MAX)
        calm->credit += HTTP2_CREDIT_PER_DATA;
}

/** We sent HEADERS or DATA. */
static inline void http2_calm_forgive_pings(struct http2_calm *calm)
{
    calm->ping_ms = 0;
    calm->strikes = 0;
}

#endif
