/* SPDX-License-Identifier: MIT */
#include "inspect/screen/screen.h"

#include <inttypes.h>
#include <ncurses.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/param.h>

#include "base/clock.h"
#include "inspect/core/text.h"
#include "inspect/screen/canvas.h"
#include "inspect/screen/method_list.h"
#include "inspect/screen/process_list.h"
#include "inspect/screen/terminal.h"
#include "inspect/screen/view.h"

enum { SHIFT = 8, SHIFT_MAX = 256 }; /* columns */

static struct view view;

bool view_shows(const struct view *shown, const char *name)
{
    return strcasestr(name, shown->filter) != NULL;
}

/* ---- the head ---- */

/* Where memory or users are short. */
static enum canvas_style share_style(uint64_t part, uint64_t whole)
{
    double share = whole != 0 ? (double)part / (double)whole : 0;
    if (share >= 0.95)
        return CANVAS_DANGER;
    return share >= 0.8 ? CANVAS_WARNING : CANVAS_PLAIN;
}

static const char *format_bar(char text[32], uint64_t part, uint64_t whole)
{
    enum { WIDTH = 10 };
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
    uint64_t used = info->bytes_mapped - info->bytes_free;
    canvas_line(1, share_style(info->users, info->max_users),
                "users    %s  %" PRIu64 " of %" PRIu64,
                format_bar(bar, info->users, info->max_users), info->users, info->max_users);
    canvas_line(
        2, share_style(used, info->bytes_reserved), "memory   %s  %s used, %s mapped, %s reserved",
        format_bar(bar, used, info->bytes_reserved), text_format_bytes(a, info->bytes_used),
        text_format_bytes(b, info->bytes_mapped), text_format_bytes(c, info->bytes_reserved));
    canvas_line(3, share_style(info->held_bytes, info->snapshot_max_bytes),
                "retired  %s  snapshots keep %s of %s; %s wait",
                format_bar(bar, info->held_bytes, info->snapshot_max_bytes),
                text_format_bytes(a, info->held_bytes),
                text_format_bytes(b, info->snapshot_max_bytes),
                text_format_bytes(c, info->retired_bytes));
}

static void draw_disk(const struct disk_status *disk)
{
    bool bad = disk->disk.state != SHM_DISK_OK;
    if (disk->kept)
        canvas_line(5, bad ? CANVAS_DANGER : CANVAS_PLAIN,
                    "disk     %s   version %" PRIu64 ", %" PRIu64 " commits behind   %s",
                    disk_status_state(disk), disk->disk.version, disk->commits, disk->disk.path);
    else
        canvas_line(5, CANVAS_PLAIN, "disk     none: the table is in memory only");
}

static void draw_title(const struct sampler *sampler, double interval)
{
    char clock[TEXT_TIME_SIZE], up[PROCESS_AGE_SIZE];
    int64_t uptime = sampler_uptime(sampler);
    text_format_time(clock, clock_real_coarse_s());
    if (sampler->store == NULL)
        canvas_line(0, CANVAS_BAR, " %s   every %.1f s", clock, interval);
    else
        canvas_line(0, CANVAS_BAR, " %s   server: %s%s%s%s   every %.1f s   %s",
                    sampler->options->segment, sampler->info.owned ? "attached" : "none",
                    sampler->info.rebuilding ? " (rebuild)" : "", uptime >= 0 ? ", up " : "",
                    uptime >= 0 ? process_format_age(up, uptime) : "", interval, clock);
}

enum { HEAD_TITLES = 9 }; /* columns that stay where they are */

static void draw_head(const struct sampler *sampler, double interval)
{
    const struct shm_info *info = &sampler->info;
    draw_title(sampler, interval);
    canvas_keep(HEAD_TITLES);
    if (sampler->store == NULL) {
        canvas_line(2, CANVAS_DANGER, "%s", sampler->why.text);
        return;
    }
    draw_bars(info);
    canvas_line(4, CANVAS_PLAIN,
                "version  %" PRIu64 "   commits/s %.1f, 10 s %.1f, 60 s %.1f   %" PRIu64
                " of %d slots",
                info->version, sampler->commits.now, sampler->commits.avg10, sampler->commits.avg60,
                info->actors, SHM_SLOTS);
    draw_disk(&sampler->disk);
    method_list_draw_sum(sampler, 6);
}

/* ---- the body ---- */

static void draw_counter(const struct sampler_counter *counter)
{
    char now[32] = "-";
    if (!counter->gauge)
        snprintf(now, sizeof(now), "%.1f", counter->rate.now);
    canvas_row(CANVAS_PLAIN, "%12" PRIu64 " %8s %8.1f %8.1f  %s", counter->value, now,
               counter->rate.avg10, counter->rate.avg60, counter->label);
}

static void draw_counters(const struct sampler *sampler)
{
    canvas_keep(0);
    canvas_row(CANVAS_BOLD, "%12s %8s %8s %8s  %s", "value", "now/s", "10 s", "60 s", "counter");
    for (size_t i = 0; i < sampler->num_counters; i++) {
        const struct sampler_counter *counter = &sampler->counters[i];
        if ((counter->value != 0 || view.zeros) && (!counter->of_method || view.raw) &&
            view_shows(&view, counter->label))
            draw_counter(counter);
    }
}

static void draw_help(void)
{
    static const char *const lines[] = {
        "q            quit",
        "h, ?         this help; any key leaves it",
        "up, down     scroll by a line, as k and j; page up and down, home, end",
        "left, right  scroll sideways",
        "s            order of methods: calls, errors, p99, name",
        "p            order of processes: slot, cpu, memory",
        "t            all calls since the counters were created, or the last ones",
        "/            show only methods and counters with a text in their name;",
        "             Enter keeps it, Esc shows all again",
        "z            show or hide methods without calls, and counters that are zero",
        "r            show or hide the counters of methods one by one",
        "+, -         double or halve the interval",
        "",
        "calls/s and the percentiles are those of the last 10 seconds. cpu % is of",
        "one CPU. memory is what the process does not share with others. keeps is",
        "what replaced users take because of its snapshots. Yellow and red: errors",
        "from 1 and 5 percent on, a full table, a dead process, a bad data file.",
    };
    canvas_keep(CANVAS_LINE_MAX);
    for (int i = 0; i < (int)(sizeof(lines) / sizeof(lines[0])); i++)
        canvas_line(2 + i, CANVAS_PLAIN, "%s", lines[i]);
}

static void draw_body(const struct sampler *sampler)
{
    if (sampler->store == NULL)
        return;
    process_list_draw(sampler, &view);
    if (sampler->total == NULL) {
        canvas_row(CANVAS_PLAIN, "the segment has no counters");
        return;
    }
    method_list_draw(sampler, &view);
    draw_counters(sampler);
}

static void draw_foot(void)
{
    if (view.typing)
        canvas_line(canvas_foot(), CANVAS_BAR, " filter: %s_   Enter: keep   Esc: show all",
                    view.filter);
    else if (view.filter[0] != '\0')
        canvas_line(canvas_foot(), CANVAS_BAR, " q quit   h help   /: filter is \"%s\"",
                    view.filter);
    else
        canvas_line(canvas_foot(), CANVAS_BAR,
                    " q quit   h help   arrows: scroll   s: order   /: filter   z: %s zeros",
                    view.zeros ? "hide" : "show");
}

static void clamp_scroll(void)
{
    int last = view.rows - canvas_window();
    view.scroll = MAX(MIN(view.scroll, last), 0);
}

/* The help is shown instead of head and body. */
static void draw_help_screen(const struct sampler *sampler, double interval)
{
    canvas_begin(0, 0);
    draw_title(sampler, interval);
    draw_help();
    draw_foot();
    canvas_end();
}

void screen_draw(const struct sampler *sampler, double interval)
{
    if (view.help) {
        draw_help_screen(sampler, interval);
        return;
    }
    /* A second pass if the body has become so short that the scroll position changes. */
    for (int pass = 0; pass < 2; pass++) {
        int scroll = view.scroll;
        canvas_begin(scroll, view.shift);
        draw_head(sampler, interval);
        draw_body(sampler);
        draw_foot();
        view.rows = canvas_end();
        clamp_scroll();
        if (scroll == view.scroll)
            break;
    }
}

/* ---- keys ---- */

static enum screen_key scroll_to(int row)
{
    view.scroll = row;
    clamp_scroll();
    return SCREEN_AGAIN;
}

/* Keys that move the body. */
static enum screen_key handle_scroll_key(int key)
{
    switch (key) {
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
        return scroll_to(view.scroll - canvas_window());
    case KEY_NPAGE:
    case ' ':
        return scroll_to(view.scroll + canvas_window());
    case KEY_HOME:
        view.shift = 0;
        return scroll_to(0);
    case KEY_END:
        return scroll_to(view.rows);
    case KEY_RESIZE:
        return SCREEN_AGAIN;
    default:
        return SCREEN_NONE;
    }
}

/* Keys that choose what is shown. */
static enum screen_key handle_view_key(int key)
{
    switch (key) {
    case 'h':
    case '?':
        view.help = true;
        return SCREEN_AGAIN;
    case 's':
        view.methods = (view.methods + 1) % VIEW_METHOD_ORDERS;
        return SCREEN_AGAIN;
    case 'p':
        view.processes = (view.processes + 1) % VIEW_PROCESS_ORDERS;
        return SCREEN_AGAIN;
    case 't':
        view.total = !view.total;
        return SCREEN_AGAIN;
    case 'z':
    case 'Z':
        view.zeros = !view.zeros;
        return SCREEN_AGAIN;
    case 'r':
        view.raw = !view.raw;
        return SCREEN_AGAIN;
    case '/':
        view.typing = true;
        view.filter[0] = '\0';
        return SCREEN_AGAIN;
    default:
        return handle_scroll_key(key);
    }
}

/* A key of the filter's text, of which bytes that are not ASCII are no part. */
static enum screen_key handle_typed_key(int key)
{
    enum { ESCAPE = 27, DELETE = 127 };
    size_t len = strlen(view.filter);
    if (key == '\r' || key == '\n' || key == KEY_ENTER)
        view.typing = false;
    else if (key == ESCAPE) {
        view.typing = false;
        view.filter[0] = '\0';
    } else if (key == KEY_BACKSPACE || key == DELETE || key == '\b')
        view.filter[len > 0 ? len - 1 : 0] = '\0';
    else if (key >= ' ' && key < DELETE && len < VIEW_FILTER_MAX) {
        view.filter[len] = (char)key;
        view.filter[len + 1] = '\0';
    }
    return SCREEN_AGAIN;
}

static enum screen_key handle_key(int key)
{
    if (view.typing && key != KEY_RESIZE)
        return handle_typed_key(key);
    if (view.help && key != KEY_RESIZE) {
        view.help = false;
        return SCREEN_AGAIN;
    }
    switch (key) {
    case 'q':
    case 'Q':
        return SCREEN_QUIT;
    case '+':
        return SCREEN_SLOWER;
    case '-':
        return SCREEN_FASTER;
    default:
        return handle_view_key(key);
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
