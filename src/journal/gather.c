/* SPDX-License-Identifier: MIT */
#include "journal/gather.h"

#include <sys/param.h>

enum {
    WAIT_MAX_NS = 20 * 1000 * 1000,
    LATE_PART = 8, /* of a commit's time: how long to wait for the next of the last few */
    SKIP_MIN = 8,  /* windows without a wait after a wait in vain; doubled each time */
    SKIP_DOUBLINGS = 5,
    LOOKS = 32, /* for more, in the time of a commit */
};

/* One client in eight may be late. */
static bool almost_all(const struct gather *gather, uint64_t changes)
{
    return changes >= gather->expected - gather->expected / 8;
}

bool gather_wants_more(struct gather *gather, uint64_t changes, uint64_t now_ns)
{
    if (gather->spacing.apart)
        return spacing_wants_more(&gather->spacing, changes, now_ns);
    if (gather->skip != 0 || changes >= gather->expected)
        return false;
    if (gather->until_ns == 0)
        gather->until_ns = now_ns + MIN(gather->sync_ns, (uint64_t)WAIT_MAX_NS);
    if (changes != gather->seen) {
        gather->seen = changes;
        gather->seen_ns = now_ns;
    }
    if (almost_all(gather, changes) && now_ns - gather->seen_ns >= gather->sync_ns / LATE_PART)
        return false;
    return now_ns < gather->until_ns;
}

uint64_t gather_look_ns(const struct gather *gather)
{
    return gather->spacing.apart ? spacing_look_ns(&gather->spacing) : gather->sync_ns / LOOKS;
}

/* A window that has not waited says nothing about waits. */
static void judge_wait(struct gather *gather, uint64_t changes)
{
    if (gather->skip != 0) {
        gather->skip--;
    } else if (gather->until_ns != 0 && almost_all(gather, changes)) {
        gather->failures = 0;
    } else if (gather->until_ns != 0) {
        gather->skip = (unsigned)SKIP_MIN << MIN(gather->failures, (unsigned)SKIP_DOUBLINGS);
        gather->failures++;
    }
}

void gather_begin_window(struct gather *gather)
{
    gather->until_ns = gather->seen = 0;
}

void gather_note_window(struct gather *gather, const struct spacing_window *window,
                        uint64_t pending)
{
    judge_wait(gather, window->changes);
    spacing_note_window(&gather->spacing, window);
    gather->expected = window->changes + pending;
    gather->sync_ns = window->commit_ns;
}
