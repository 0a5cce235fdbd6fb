/* SPDX-License-Identifier: MIT */
#include "journal/gather.h"

#include <sys/param.h>

enum {
    WAIT_MAX_NS = 20 * 1000 * 1000,
    LATE_PART = 8, /* of a commit's time: how long to wait for the next of the last few */
    SKIP_MIN = 8,  /* windows without a wait after a wait in vain; doubled each time */
    SKIP_DOUBLINGS = 5,
    LOOKS = 32, /* for more, in the time of a commit */
    /* Of commits that are spaced: */
    SPACE_NS = 700 * 1000,      /* between the beginnings of two */
    GAP_NS = 250 * 1000,        /* without a change, behind which none of the others waits longer */
    SPACE_LOOK_NS = 100 * 1000, /* between two looks for more */
    SPACE_CHANGES_MIN = 4,      /* of so few in that time, a sync each is no waste */
    SPACE_CHANGES_MAX = 64,     /* with so many, a sync is none */
};

static bool is_spaced(const struct gather *gather)
{
    return gather->skip != 0 && gather->frequent;
}

static bool space_is_over(const struct gather *gather, uint64_t changes, uint64_t now_ns)
{
    return changes >= SPACE_CHANGES_MAX || now_ns - gather->commit_at_ns >= SPACE_NS ||
           now_ns - gather->seen_ns >= GAP_NS;
}

/* One client in eight may be late. */
static bool almost_all(const struct gather *gather, uint64_t changes)
{
    return changes >= gather->expected - gather->expected / 8;
}

bool gather_wants_more(struct gather *gather, uint64_t changes, uint64_t now_ns)
{
    if (changes != gather->seen) {
        gather->seen = changes;
        gather->seen_ns = now_ns;
    }
    if (gather->skip != 0)
        return is_spaced(gather) && !space_is_over(gather, changes, now_ns);
    if (changes >= gather->expected)
        return false;
    if (gather->until_ns == 0)
        gather->until_ns = now_ns + MIN(gather->sync_ns, (uint64_t)WAIT_MAX_NS);
    if (almost_all(gather, changes) && now_ns - gather->seen_ns >= gather->sync_ns / LATE_PART)
        return false;
    return now_ns < gather->until_ns;
}

uint64_t gather_look_ns(const struct gather *gather)
{
    return is_spaced(gather) ? SPACE_LOOK_NS : gather->sync_ns / LOOKS;
}

/* A window that has not waited says nothing about waits. A spaced one that nobody sent anything
 * behind had all clients in it: they wait for their answers. */
static void judge_wait(struct gather *gather, uint64_t changes, uint64_t pending)
{
    if (is_spaced(gather) && pending == 0) {
        gather->skip = 0;
    } else if (gather->skip != 0) {
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

void gather_note_window(struct gather *gather, const struct gathered *window)
{
    uint64_t since_last_ns = window->commit_at_ns - gather->commit_at_ns;
    judge_wait(gather, window->changes, window->pending);
    gather->frequent = window->changes * SPACE_NS >= SPACE_CHANGES_MIN * since_last_ns;
    gather->commit_at_ns = window->commit_at_ns;
    gather->expected = window->changes + window->pending;
    gather->sync_ns = window->commit_ns;
}
