/* SPDX-License-Identifier: MIT */
#include "journal/gather.h"

#include <sys/param.h>

enum {
    CALL_NS = 4000, /* CPU time of a call, in the server and in its client, roughly */
    WAIT_MAX_NS = 2 * 1000 * 1000,
    SKIP_MIN = 8, /* windows without a wait after a wait in vain; doubled each time */
    SKIP_DOUBLINGS = 5,
};

void gather_note_window(struct gather *gather, uint64_t changes, uint64_t pending,
                        uint64_t commit_ns)
{
    gather->expected = changes + pending;
    gather->sync_ns = commit_ns;
}

uint64_t gather_begin(struct gather *gather, uint64_t pending)
{
    if (pending >= gather->expected || gather->sync_ns / 2 < gather->expected * CALL_NS)
        return 0;
    if (gather->skip != 0) {
        gather->skip--;
        return 0;
    }
    return MIN(gather->sync_ns / 2, (uint64_t)WAIT_MAX_NS);
}

/* One client in eight may be late. */
bool gather_reached(const struct gather *gather, uint64_t pending)
{
    return pending >= gather->expected - gather->expected / 8;
}

void gather_end(struct gather *gather, uint64_t pending)
{
    if (gather_reached(gather, pending)) {
        gather->failures = 0;
        return;
    }
    gather->skip = (unsigned)SKIP_MIN << MIN(gather->failures, (unsigned)SKIP_DOUBLINGS);
    gather->failures++;
}
