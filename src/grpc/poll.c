/* SPDX-License-Identifier: MIT */
#include "grpc/poll.h"

#include <sched.h>
#include <time.h>

enum {
    SMALL_REQUEST = 1024, /* bytes; more in one turn is no lone small request */
    HOLDOFF = 16,
};

void grpc_poll_init(struct grpc_poll *poll, uint32_t bound_us)
{
    *poll = (struct grpc_poll){.bound_ns = bound_us * UINT64_C(1000)};
}

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* @return whether bytes came, and were handled, or something waits for its turn */
static bool poll_until(struct grpc_poll *poll, const struct http2_context *http2, uint64_t until)
{
    const struct http2_counts *counts = http2_context_counts(http2);
    h2o_loop_t *loop = http2_context_loop(http2);

    do {
        sched_yield(); /* the client may need this very processor to ask again */
        (void)h2o_evloop_run(loop, 0);
        if (counts->bytes_in != poll->bytes_in || http2_context_pending(http2))
            return true;
    } while (now_ns() < until);
    return false;
}

/* Was it a turn that promises another such request soon? */
static void note_turn(struct grpc_poll *poll, const struct http2_counts *counts, uint64_t took_ns)
{
    uint64_t bytes = counts->bytes_in - poll->bytes_in;
    uint64_t streams = counts->streams_opened - poll->streams;

    poll->bytes_in = counts->bytes_in;
    poll->streams = counts->streams_opened;
    poll->eager =
        bytes != 0 && bytes < SMALL_REQUEST && streams == 1 && took_ns < 2 * poll->bound_ns;
    if (poll->eager && poll->holdoff != 0) {
        poll->holdoff--;
        poll->eager = false;
    }
}

void grpc_poll_turn(struct grpc_poll *poll, struct http2_context *http2, int32_t wait_ms)
{
    const struct http2_counts *counts = http2_context_counts(http2);
    h2o_loop_t *loop = http2_context_loop(http2);

    if (poll->bound_ns == 0) {
        (void)h2o_evloop_run(loop, wait_ms);
        return;
    }
    uint64_t start = now_ns();
    bool polled = poll->eager && wait_ms != 0;
    bool found = polled && poll_until(poll, http2, start + poll->bound_ns);
    if (!found)
        (void)h2o_evloop_run(loop, wait_ms);
    if (polled && !found)
        poll->holdoff = HOLDOFF;
    note_turn(poll, counts, now_ns() - start);
}
