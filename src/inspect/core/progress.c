/* SPDX-License-Identifier: MIT */
#include "inspect/core/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

enum { PROGRESS_BAR_WIDTH = 24, REDRAW_MS = 100 };

void progress_start(struct progress *progress, const char *what, uint64_t total, bool quiet)
{
    memset(progress, 0, sizeof(*progress));
    progress->what = what;
    progress->unit = "users";
    progress->total = total;
    progress->on = !quiet && isatty(STDERR_FILENO);
    progress->started_ms = clock_monotonic_ms();
}

static void draw_progress_bar(const struct progress *progress, uint64_t done)
{
    char bar[PROGRESS_BAR_WIDTH + 1];
    double part = done >= progress->total ? 1.0 : (double)done / (double)progress->total;
    size_t full = (size_t)(part * PROGRESS_BAR_WIDTH);
    memset(bar, '#', full);
    memset(bar + full, '.', PROGRESS_BAR_WIDTH - full);
    bar[PROGRESS_BAR_WIDTH] = '\0';
    fprintf(stderr, " [%s] %3d %%", bar, (int)(part * 100));
}

/* Draws at most 78 columns over the line before; the trailing spaces overwrite a longer one. */
static void draw_progress(struct progress *progress, uint64_t done, uint64_t count, uint64_t now)
{
    uint64_t ms = now - progress->started_ms;
    fprintf(stderr, "\r%s", progress->what);
    if (progress->total != 0)
        draw_progress_bar(progress, done);
    if (progress->unit != NULL)
        fprintf(stderr, "  %" PRIu64 " %s, %" PRIu64 "/s   ", count, progress->unit,
                ms != 0 ? count * 1000 / ms : 0);
    fflush(stderr);
    progress->drawn_ms = now;
    progress->drawn = true;
}

void progress_show(struct progress *progress, uint64_t done, uint64_t count)
{
    if (!progress->on)
        return;
    uint64_t now = clock_monotonic_ms();
    if (now - progress->drawn_ms >= REDRAW_MS)
        draw_progress(progress, done, count, now);
}

void progress_finish(struct progress *progress, uint64_t done, uint64_t count)
{
    if (progress->on)
        draw_progress(progress, done, count, clock_monotonic_ms());
    progress_clear(progress);
}

void progress_clear(struct progress *progress)
{
    if (!progress->drawn)
        return;
    fprintf(stderr, "\r%78s\r", "");
    fflush(stderr);
    progress->drawn = false;
}
