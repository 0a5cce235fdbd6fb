/* SPDX-License-Identifier: MIT */
#include "http2/calm.h"

#include <sys/param.h>

struct http2_calm http2_calm_new(uint32_t max_streams)
{
    /* The last http2_calm_earn() may exceed the maximum, and must not overflow. */
    uint32_t streams = MIN(max_streams, (uint32_t)INT32_MAX / (2 * HTTP2_CREDIT_PER_STREAM));
    int32_t max = MAX(HTTP2_CREDIT_MAX, (int32_t)streams * HTTP2_CREDIT_PER_STREAM);
    return (struct http2_calm){.credit = max, .credit_max = max};
}

/* If the clock was set back, nothing is refilled now; refilling continues from the new time. */
static void refill_credit(struct http2_calm *calm, uint64_t now_ms)
{
    if (calm->refilled_ms == 0 || now_ms < calm->refilled_ms) {
        calm->refilled_ms = now_ms;
        return;
    }
    uint64_t credit = (now_ms - calm->refilled_ms) * HTTP2_CREDIT_PER_SECOND / 1000;
    if (credit == 0)
        return;
    calm->refilled_ms = now_ms;
    if (credit > (uint64_t)(calm->credit_max - calm->credit))
        calm->credit = calm->credit_max;
    else
        calm->credit += (int32_t)credit;
}

bool http2_calm_spend(struct http2_calm *calm, int32_t cost, uint64_t now_ms)
{
    if (calm->credit < calm->credit_max)
        refill_credit(calm, now_ms);
    else
        calm->refilled_ms = now_ms;
    calm->credit -= cost;
    return calm->credit >= 0;
}

bool http2_calm_ping(struct http2_calm *calm, uint64_t interval_ms, uint64_t now_ms)
{
    bool early = calm->ping_ms != 0 && now_ms - calm->ping_ms < interval_ms;
    calm->ping_ms = now_ms;
    if (early)
        calm->strikes++;
    return calm->strikes <= HTTP2_PING_STRIKES;
}
