/* SPDX-License-Identifier: MIT */
#include "inspect/core/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BAR_WIDTH = 24, EVERY_MS = 100 };

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void progress_start(struct progress *progress, const char *what, uint64_t total, bool quiet)
{
    memset(progress, 0, sizeof(*progress));
    progress->what = what;
    progress->total = total;
    progress->on = !quiet && isatty(STDERR_FILENO);
    progress->started_ms = now_ms();
}

static void draw_bar(const struct progress *progress, uint64_t done)
{
    char bar[BAR_WIDTH + 1];
    double part = done >= progress->total ? 1.0 : (double)done / (double)progress->total;
    size_t full = (size_t)(part * BAR_WIDTH);

    memset(bar, '#', full);
    memset(bar + full, '.', BAR_WIDTH - full);
    bar[BAR_WIDTH] = '\0';
    fprintf(stderr, " [%s] %3d %%", bar, (int)(part * 100));
}

/* At most 78 columns, each draw over the one before: the spaces cover what was longer. */
static void draw(struct progress *progress, uint64_t done, uint64_t users, uint64_t now)
{
    uint64_t ms = now - progress->started_ms;

    fprintf(stderr, "\r%s", progress->what);
    if (progress->total != 0)
        draw_bar(progress, done);
    fprintf(stderr, "  %" PRIu64 " users, %" PRIu64 "/s   ", users,
            ms != 0 ? users * 1000 / ms : 0);
    fflush(stderr);
    progress->shown_ms = now;
    progress->drawn = true;
}

void progress_show(struct progress *progress, uint64_t done, uint64_t users)
{
    if (!progress->on)
        return;
    uint64_t now = now_ms();
    if (now - progress->shown_ms >= EVERY_MS)
        draw(progress, done, users, now);
}

void progress_finish(struct progress *progress, uint64_t done, uint64_t users)
{
    if (progress->on)
        draw(progress, done, users, now_ms());
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
