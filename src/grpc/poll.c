/* SPDX-License-Identifier: MIT */
#include "grpc/poll.h"

#include <sched.h>
#include <sys/param.h>

#include "base/clock.h"

enum {
    SMALL_REQUEST = 1024, /* bytes; a turn that brought more had no single small request */
    HOLDOFF = 16,         /* turns that could poll but do not, after a poll that found nothing */
};

void grpc_poll_init(struct grpc_poll *poll, uint32_t bound_us)
{
    *poll = (struct grpc_poll){.bound_ns = bound_us * UINT64_C(1000)};
}

void grpc_poll_expect(struct grpc_poll *poll, uint64_t ns)
{
    uint64_t most = GRPC_POLL_TIMES * poll->bound_ns;
    poll->expected_ns = ns <= most ? MIN(2 * ns, most) : 0;
}

/** Polls until a time of clock_monotonic_ns().
 * @return whether bytes came (they have been handled), or a connection waits for its turn */
static bool poll_until(struct grpc_poll *poll, const struct http2_context *http2, uint64_t until)
{
    const struct http2_counts *counts = http2_context_counts(http2);
    h2o_loop_t *loop = http2_context_loop(http2);
    do {
        sched_yield(); /* the client may need this processor to send its next request */
        (void)h2o_evloop_run(loop, 0);
        if (counts->bytes_in != poll->bytes_in || http2_context_pending(http2))
            return true;
    } while (clock_monotonic_ns() < until);
    return false;
}

/** Decides from a turn of the loop whether the next one polls. @param bound_ns of this turn's poll
 */
static void note_turn(struct grpc_poll *poll, const struct http2_counts *counts, uint64_t took_ns,
                      uint64_t bound_ns)
{
    uint64_t bytes = counts->bytes_in - poll->bytes_in;
    uint64_t streams = counts->streams_opened - poll->streams;
    poll->bytes_in = counts->bytes_in;
    poll->streams = counts->streams_opened;
    poll->eager = bytes != 0 && bytes < SMALL_REQUEST && streams == 1 && took_ns < 2 * bound_ns;
}

/** Whether this turn polls. */
static bool begin_poll(struct grpc_poll *poll, int32_t wait_ms)
{
    if ((!poll->eager && poll->expected_ns == 0) || wait_ms == 0)
        return false;
    if (poll->holdoff == 0)
        return true;
    poll->holdoff--;
    return false;
}

void grpc_poll_turn(struct grpc_poll *poll, struct http2_context *http2, int32_t wait_ms)
{
    const struct http2_counts *counts = http2_context_counts(http2);
    h2o_loop_t *loop = http2_context_loop(http2);
    if (poll->bound_ns == 0) {
        (void)h2o_evloop_run(loop, wait_ms);
        return;
    }
    uint64_t start = clock_monotonic_ns();
    uint64_t bound_ns = MAX(poll->bound_ns, poll->expected_ns);
    bool polled = begin_poll(poll, wait_ms), found = false;
    poll->expected_ns = 0;
    if (polled) { /* a timer is due after the wait */
        uint64_t wait_ns = (uint64_t)wait_ms * 1000000;
        found = poll_until(poll, http2, start + MIN(bound_ns, wait_ns));
        uint64_t took_ms = (clock_monotonic_ns() - start) / 1000000;
        wait_ms -= (int32_t)MIN(took_ms, (uint64_t)wait_ms);
    }
    if (!found)
        (void)h2o_evloop_run(loop, wait_ms);
    if (polled && !found)
        poll->holdoff = HOLDOFF;
    note_turn(poll, counts, clock_monotonic_ns() - start, bound_ns);
}
