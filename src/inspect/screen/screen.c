/* SPDX-License-Identifier: MIT */
#include "inspect/screen/screen.h"

#include <inttypes.h>
#include <ncurses.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/param.h>

#include "base/clock.h"
#include "inspect/core/slot_info.h"
#include "inspect/core/text.h"
#include "inspect/screen/terminal.h"

/* The screen has a head of fixed lines, a body that scrolls, and a foot. */
enum { HEAD_LINES = 7, FOOT_LINES = 1, LINE_MAX_BYTES = 512, SHIFT = 8, SHIFT_MAX = 256 };

static struct view {
    int scroll; /* rows of the body above the window */
    int rows;   /* rows of the body, when it was last drawn */
    int shift;  /* characters of a counter's name that are cut off on the left */
    bool zeros; /* show counters that are zero */
    int row;    /* while drawing: the next row of the body */
} view;

/* ---- drawing ---- */

static void draw_line(int y, int attributes, const char *format, va_list args)
{
    char line[LINE_MAX_BYTES];
    if (y < 0 || y >= LINES)
        return;
    vsnprintf(line, sizeof(line), format, args);
    attrset(attributes);
    mvaddnstr(y, 0, line, COLS);
    if (attributes == A_REVERSE)
        mvchgat(y, 0, -1, A_REVERSE, 0, NULL);
    attrset(A_NORMAL);
}

static void draw_head_line(int y, int attributes, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void draw_head_line(int y, int attributes, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    draw_line(y, attributes, format, args);
    va_end(args);
}

/* The next row of the body; a row outside the window is not drawn. */
static void draw_body_row(int attributes, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void draw_body_row(int attributes, const char *format, ...)
{
    va_list args;
    int y = HEAD_LINES + view.row++ - view.scroll;
    if (y < HEAD_LINES || y >= LINES - FOOT_LINES)
        return;
    va_start(args, format);
    draw_line(y, attributes, format, args);
    va_end(args);
}

static const char *format_bar(char text[32], uint64_t part, uint64_t whole)
{
    enum { WIDTH = 20 };
    double share = whole != 0 ? (double)part / (double)whole : 0;
    size_t full = share >= 1 ? WIDTH : (size_t)(share * WIDTH);
    memset(text, '.', WIDTH + 2);
    memset(text + 1, '#', full);
    text[0] = '[';
    snprintf(text + WIDTH + 1, 32 - WIDTH - 1, "] %3.0f %%", share * 100);
    return text;
}

static void draw_bars(const struct shm_info *info)
{
    char bar[32], a[TEXT_BYTES_SIZE], b[TEXT_BYTES_SIZE], c[TEXT_BYTES_SIZE];
    draw_head_line(1, 0, "users    %s  %" PRIu64 " of %" PRIu64,
                   format_bar(bar, info->users, info->max_users), info->users, info->max_users);
    draw_head_line(2, 0, "memory   %s  %s used, %s mapped, %s reserved",
                   format_bar(bar, info->bytes_mapped - info->bytes_free, info->bytes_reserved),
                   text_format_bytes(a, info->bytes_used), text_format_bytes(b, info->bytes_mapped),
                   text_format_bytes(c, info->bytes_reserved));
    draw_head_line(
        3, 0, "retired  %s  snapshots keep %s of %s; %" PRIu64 " bodies (%s) wait for readers",
        format_bar(bar, info->held_bytes, info->snapshot_max_bytes),
        text_format_bytes(a, info->held_bytes), text_format_bytes(b, info->snapshot_max_bytes),
        info->retired_count, text_format_bytes(c, info->retired_bytes));
}

static void draw_disk(const struct disk_status *disk)
{
    if (disk->kept)
        draw_head_line(5, disk->commits != 0 && disk->disk.state != SHM_DISK_OK ? A_BOLD : 0,
                       "disk     %s   version %" PRIu64 ", %" PRIu64 " commits behind   %s",
                       disk_status_state(disk), disk->disk.version, disk->commits, disk->disk.path);
    else
        draw_head_line(5, 0, "disk     none: the table is in memory only");
}

static void draw_head(const struct sampler *sampler, double interval)
{
    const struct shm_info *info = &sampler->info;
    char clock[TEXT_TIME_SIZE];
    text_format_time(clock, clock_real_coarse_s());
    if (sampler->store == NULL) {
        draw_head_line(0, A_REVERSE, " %s   every %.1f s", clock, interval);
        draw_head_line(2, A_BOLD, "%s", sampler->why.text);
        return;
    }
    draw_head_line(0, A_REVERSE, " %s   %s   server: %s%s   every %.1f s",
                   sampler->options->segment, clock, info->owned ? "attached" : "none",
                   info->rebuilding ? " (rebuild)" : "", interval);
    draw_bars(info);
    draw_head_line(4, 0,
                   "version  %" PRIu64
                   "   commits/s %.1f, over 10 s %.1f, over 60 s %.1f   %" PRIu64 " of %d slots",
                   info->version, sampler->commits.now, sampler->commits.avg10,
                   sampler->commits.avg60, info->actors, SHM_SLOTS);
    draw_disk(&sampler->disk);
}

static void draw_slots(const struct sampler *sampler)
{
    char held[TEXT_BYTES_SIZE];
    draw_body_row(A_BOLD, "%4s %-7s %6s %8s %-7s %8s %9s %10s %12s %10s %11s", "slot", "kind",
                  "number", "pid", "state", "behind", "snapshots", "keeps", "calls", "calls/s",
                  "connections");
    for (size_t i = 0; i < sampler->num_slots; i++) {
        const struct sampler_slot *slot = &sampler->slots[i];
        const struct shm_slot_info *info = &slot->info;
        draw_body_row(0,
                      "%4u %-7s %6u %8" PRIu32 " %-7s %8" PRIu64 " %9" PRIu64 " %10s %12" PRIu64
                      " %10.1f %11" PRIu64,
                      info->slot, slot_info_kind_name(info->kind), info->number, info->pid,
                      slot_info_state_name(info), info->behind, info->snapshots,
                      text_format_bytes(held, info->held_bytes), slot->calls, slot->call_rate,
                      slot->connections);
    }
    draw_body_row(0, "%s", "");
}

static void draw_counters(const struct sampler *sampler)
{
    draw_body_row(A_BOLD, "%12s %10s %10s %10s  %s", "value", "now/s", "10 s", "60 s", "counter");
    for (size_t i = 0; i < sampler->num_counters; i++) {
        const struct sampler_counter *counter = &sampler->counters[i];
        if (counter->value == 0 && !view.zeros)
            continue;
        size_t shift = strnlen(counter->label, (size_t)view.shift);
        const char *label = counter->label + shift;
        if (counter->gauge)
            draw_body_row(0, "%12" PRIu64 " %10s %10.1f %10.1f  %s", counter->value, "-",
                          counter->rate.avg10, counter->rate.avg60, label);
        else
            draw_body_row(0, "%12" PRIu64 " %10.1f %10.1f %10.1f  %s", counter->value,
                          counter->rate.now, counter->rate.avg10, counter->rate.avg60, label);
    }
    if (sampler->num_counters == 0)
        draw_body_row(0, "the segment has no counters");
}

static int window_rows(void)
{
    return MAX(LINES - HEAD_LINES - FOOT_LINES, 1);
}

static void clamp_scroll(void)
{
    int last = view.rows - window_rows();
    view.scroll = MAX(MIN(view.scroll, last), 0);
}

void screen_draw(const struct sampler *sampler, double interval)
{
    /* A second pass if the body has become so short that the scroll position changes. */
    for (int pass = 0; pass < 2; pass++) {
        int scroll = view.scroll;
        erase();
        draw_head(sampler, interval);
        view.row = 0;
        if (sampler->store != NULL) {
            draw_slots(sampler);
            draw_counters(sampler);
        }
        view.rows = view.row;
        clamp_scroll();
        if (scroll == view.scroll)
            break;
    }
    draw_head_line(LINES - 1, A_REVERSE,
                   " q quit   arrows, page up/down: scroll   z: %s zero counters   +/-: interval",
                   view.zeros ? "hide" : "show");
    refresh();
}

/* ---- keys ---- */

static enum screen_key scroll_to(int row)
{
    view.scroll = row;
    clamp_scroll();
    return SCREEN_AGAIN;
}

static enum screen_key handle_key(int key)
{
    switch (key) {
    case 'q':
    case 'Q':
        return SCREEN_QUIT;
    case 'z':
    case 'Z':
        view.zeros = !view.zeros;
        return SCREEN_AGAIN;
    case '+':
        return SCREEN_SLOWER;
    case '-':
        return SCREEN_FASTER;
    case KEY_UP:
    case 'k':
        return scroll_to(view.scroll - 1);
    case KEY_DOWN:
    case 'j':
        return scroll_to(view.scroll + 1);
    case KEY_LEFT:
        view.shift -= view.shift >= SHIFT ? SHIFT : view.shift;
        return SCREEN_AGAIN;
    case KEY_RIGHT:
        view.shift += view.shift < SHIFT_MAX ? SHIFT : 0;
        return SCREEN_AGAIN;
    case KEY_PPAGE:
        return scroll_to(view.scroll - window_rows());
    case KEY_NPAGE:
    case ' ':
        return scroll_to(view.scroll + window_rows());
    case KEY_HOME:
        return scroll_to(0);
    case KEY_END:
        return scroll_to(view.rows);
    case KEY_RESIZE:
        return SCREEN_AGAIN;
    default:
        return SCREEN_NONE;
    }
}

enum screen_key screen_wait(int ms)
{
    int key;
    switch (terminal_wait(ms, &key)) {
    case TERMINAL_KEY:
        return handle_key(key);
    case TERMINAL_SIGNAL:
        return SCREEN_AGAIN;
    case TERMINAL_END:
        return SCREEN_QUIT;
    case TERMINAL_TIME:
        break;
    }
    return SCREEN_NONE;
}
