/* SPDX-License-Identifier: MIT */
#include "journal/spacing.h"

#include <string.h>
#include <sys/param.h>

enum {
    APART_SYNCS = 5,  /* so many times as long as a commit takes, from begin to begin */
    LOOKS = 7,        /* for more, in that time */
    CHANGES_MIN = 4,  /* of so few in that time, a sync each is no waste */
    CHANGES_KEPT = 2, /* of so few, commits are put off no longer */
    CHANGES_MAX = 64, /* with so many, a sync is none */
    MEMORY = 64,      /* windows, behind which a window counts for a third */
    SCALE = 1024,     /* of the changes that come lately */
    TURNS = 4,        /* of a trial: back to back, apart, apart, back to back */
    TURN_CHANGES = 500,
    LOSS_PART = 20, /* so much less may come with commits apart: one part of twenty */
    SLOWER = 2,     /* a trial ends early where the same changes take so many times as long */
};
static const uint64_t apart_max_ns = 1000000, look_min_ns = 20000, pause_max_ns = 100000000;
/* How long an outcome holds; that commits apart do harm, twice as long each time that it is found
 * again. */
static const uint64_t hold_min_ns = 1000000000, hold_max_ns = 16000000000;

static uint64_t apart_ns(const struct spacing *spacing)
{
    return MIN(APART_SYNCS * spacing->sync_ns, apart_max_ns);
}

bool spacing_wants_more(const struct spacing *spacing, uint64_t changes, uint64_t now_ns)
{
    return spacing->apart && changes < CHANGES_MAX &&
           now_ns - spacing->commit_at_ns < apart_ns(spacing);
}

uint64_t spacing_look_ns(const struct spacing *spacing)
{
    return MAX(apart_ns(spacing) / LOOKS, look_min_ns);
}

/* ---- what comes ---- */

static void note_flow(struct spacing *spacing, const struct spacing_window *window, uint64_t ns)
{
    struct spacing_flow *lately = &spacing->lately;
    lately->changes += SCALE * window->changes - lately->changes / MEMORY;
    lately->ns += ns - lately->ns / MEMORY;
    if (spacing->sync_ns == 0)
        spacing->sync_ns = MIN(window->commit_ns, apart_max_ns);
    spacing->sync_ns += window->commit_ns / MEMORY - spacing->sync_ns / MEMORY;
}

/* Changes that come in the time between two commits apart, against `count`. */
static bool fewer_come(const struct spacing *spacing, unsigned count)
{
    return spacing->lately.changes * apart_ns(spacing) < count * SCALE * spacing->lately.ns;
}

/* So that commits apart would be more than half as many. */
static bool disk_is_slow(const struct spacing *spacing)
{
    return 2 * spacing->sync_ns > apart_ns(spacing);
}

/* ---- trials ---- */

static void begin_turn(struct spacing *spacing, unsigned turn)
{
    spacing->turn = turn;
    spacing->turn_changes = 0;
    spacing->apart = turn == 1 || turn == 2;
}

static void begin_trial(struct spacing *spacing)
{
    memset(spacing->of, 0, sizeof(spacing->of));
    spacing->trying = true;
    begin_turn(spacing, 0);
}

static void end_trial(struct spacing *spacing, bool outcome)
{
    bool again = spacing->hold_ns != 0 && !outcome && !spacing->outcome;
    spacing->hold_ns = again ? MIN(2 * spacing->hold_ns, hold_max_ns) : hold_min_ns;
    spacing->until_ns = spacing->commit_at_ns + spacing->hold_ns;
    spacing->trying = false;
    spacing->apart = spacing->outcome = outcome;
}

static bool as_many_come_apart(const struct spacing_flow of[2])
{
    return of[1].changes * of[0].ns * LOSS_PART >= of[0].changes * of[1].ns * (LOSS_PART - 1);
}

/* Whether that takes a third less of windows, or still fewer. Bursts may come as far apart as
 * commits do: then each takes its two windows anyway. */
static bool fewer_windows_apart(const struct spacing_flow of[2])
{
    return of[1].windows * of[0].ns * 3 <= of[0].windows * of[1].ns * 2;
}

static void note_trial(struct spacing *spacing, uint64_t changes, uint64_t ns)
{
    struct spacing_flow *of = &spacing->of[spacing->apart];
    of->changes += changes;
    of->windows++;
    of->ns += ns;
    spacing->turn_changes += changes;
    if (spacing->turn == 1 && spacing->of[1].ns > SLOWER * spacing->of[0].ns)
        end_trial(spacing, false);
    else if (spacing->turn_changes < TURN_CHANGES)
        return;
    else if (spacing->turn + 1 == TURNS)
        end_trial(spacing, as_many_come_apart(spacing->of) && fewer_windows_apart(spacing->of));
    else
        begin_turn(spacing, spacing->turn + 1);
}

/* There is nothing to try, or nothing to put off any longer. */
static void stop(struct spacing *spacing)
{
    if (spacing->outcome) /* it was another load's */
        spacing->hold_ns = 0;
    spacing->trying = spacing->apart = false;
}

void spacing_note_window(struct spacing *spacing, const struct spacing_window *window)
{
    uint64_t ns = MIN(window->commit_at_ns - spacing->commit_at_ns, pause_max_ns);
    spacing->commit_at_ns = window->commit_at_ns;
    note_flow(spacing, window, ns);
    bool few = fewer_come(spacing, spacing->trying || spacing->apart ? CHANGES_KEPT : CHANGES_MIN);
    bool holds = spacing->hold_ns != 0 && window->commit_at_ns < spacing->until_ns;
    bool may_try = !spacing->trying && !holds;
    if (few && spacing->trying && spacing->apart) /* commits apart have made changes few */
        end_trial(spacing, false);
    else if (few || !fewer_come(spacing, CHANGES_MAX) || (may_try && disk_is_slow(spacing)))
        stop(spacing);
    else if (spacing->trying)
        note_trial(spacing, window->changes, ns);
    else if (may_try)
        begin_trial(spacing);
}
