/* SPDX-License-Identifier: MIT */
/*
 * A bound on frames that cost the server work and achieve nothing: resets, pings, settings, window
 * updates, empty frames. RFC 9113 10.5 leaves such bounds to the server; gRPC's A8 defines those of
 * PING. Beyond a bound the connection ends with ENHANCE_YOUR_CALM.
 *
 * Each such frame takes from a credit. Time refills the credit. So does each DATA frame that we
 * send, because an honest client answers it with window updates; and so does each request that we
 * answer completely, because gRPC C++ sends a window update with each call, even where the answer
 * is a status alone. Such a client has sent up to two window updates for each call before the
 * first answer. So the credit has room for two frames for each call that may wait.
 */
#ifndef ROSTERD_HTTP2_CALM_H
#define ROSTERD_HTTP2_CALM_H

#include <stdbool.h>
#include <stdint.h>

#include "http2/http2_limits.h"

struct http2_calm {
    uint64_t refilled_ms; /* 0: never */
    uint64_t ping_ms;     /* of the last PING; 0: none since we last sent HEADERS or DATA */
    int32_t credit, credit_max;
    uint8_t strikes; /* PINGs that came too early */
};

/** The state of a new connection. @param max_streams how many streams the peer may have open */
struct http2_calm http2_calm_new(uint32_t max_streams);
/** @return false: the credit is used up */
bool http2_calm_spend(struct http2_calm *calm, int32_t cost, uint64_t now_ms);
/** Judges a PING that has arrived. @param interval_ms that two PINGs must lie apart
 * @return false: too many PINGs came too early */
bool http2_calm_ping(struct http2_calm *calm, uint64_t interval_ms, uint64_t now_ms);

/** Adds credit: we have sent a DATA frame, or the end of an answer. */
static inline void http2_calm_earn(struct http2_calm *calm)
{
    if (calm->credit < calm->credit_max)
        calm->credit += HTTP2_CREDIT_PER_DATA;
}

/** Clears the strikes: we have sent HEADERS or DATA. */
static inline void http2_calm_forgive_pings(struct http2_calm *calm)
{
    calm->ping_ms = 0;
    calm->strikes = 0;
}

#endif
