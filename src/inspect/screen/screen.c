/* SPDX-License-Identifier: MIT */
#include "inspect/screen/screen.h"

#include <inttypes.h>
#include <locale.h>
#include <ncurses.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <term.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "inspect/commands/actors.h"
#include "inspect/core/guard.h"
#include "inspect/core/text.h"

enum { HEAD_LINES = 6, FOOT_LINES = 1, LINE_MAX_BYTES = 512, SHIFT = 8, SHIFT_MAX = 256 };

static struct view {
    int scroll;       /* body rows above the window */
    int rows;         /* of the body, as last drawn */
    int shift;        /* of names, to the left */
    bool zeros;       /* counters at zero are shown, too */
    bool no_keys;     /* stdin has ended */
    int row;          /* while drawing: the body's next */
    SCREEN *terminal; /* NULL: not open */
} view;

/* ---- taking the terminal, and giving it back ---- */

static struct termios terminal_before;
static char leave_bytes[256]; /* what makes the terminal what it was */

/* Async-signal-safe. */
static void fatal(int number)
{
    ssize_t ignored = write(STDOUT_FILENO, leave_bytes, strlen(leave_bytes));

    (void)ignored;
    tcsetattr(STDOUT_FILENO, TCSANOW, &terminal_before);
    signal(number, SIG_DFL);
    raise(number);
}

static void add_leave(const char *capability)
{
    const char *bytes = tigetstr((char *)capability);
    size_t len = strlen(leave_bytes);

    if (bytes != NULL && bytes != (const char *)-1 && len + strlen(bytes) < sizeof(leave_bytes))
        memcpy(leave_bytes + len, bytes, strlen(bytes) + 1);
}

static sigset_t waiting; /* the signals that are blocked while we wait for a key */

/* A new size comes by a signal. It is let in while we wait alone: one that came just before would
 * not wake us. */
static void hold_resize(void)
{
    sigset_t resize;

    sigemptyset(&resize);
    sigaddset(&resize, SIGWINCH);
    sigprocmask(SIG_BLOCK, &resize, &waiting);
    sigdelset(&waiting, SIGWINCH);
}

static void catch_signals(void)
{
    static const int numbers[] = {SIGSEGV, SIGBUS,  SIGFPE,  SIGILL,  SIGABRT, SIGQUIT,
                                  SIGALRM, SIGUSR1, SIGUSR2, SIGXCPU, SIGSYS};
    struct sigaction action = {.sa_handler = fatal};

    add_leave("sgr0");
    add_leave("rmkx");
    add_leave("cnorm");
    add_leave("rmcup");
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        sigaction(numbers[i], &action, NULL);
}

enum inspect_exit screen_open(void)
{
    const char *type = getenv("TERM");
    int known;

    setlocale(LC_CTYPE, "");
    if (tcgetattr(STDOUT_FILENO, &terminal_before) != 0)
        return inspect_fail(INSPECT_USAGE, "watch: stdout is no terminal (see --json)");
    /* newterm() would leave memory behind where it fails */
    if (setupterm(NULL, STDOUT_FILENO, &known) == OK) {
        del_curterm(cur_term);
        view.terminal = newterm(NULL, stdout, stdin);
    }
    if (view.terminal == NULL)
        return inspect_fail(INSPECT_USAGE, "watch: cannot use a terminal of type '%s' (see --json)",
                            type != NULL ? type : "");
    cbreak();
    noecho();
    nonl();
    keypad(stdscr, true);
    nodelay(stdscr, true);
    curs_set(0);
    catch_signals();
    hold_resize();
    return INSPECT_DONE;
}

void screen_close(void)
{
    if (view.terminal == NULL)
        return;
    endwin();
    delscreen(view.terminal);
    view.terminal = NULL;
}

/* ---- drawing ---- */

static void put_line(int y, int attributes, const char *format, va_list args)
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

static void head(int y, int attributes, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void head(int y, int attributes, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    put_line(y, attributes, format, args);
    va_end(args);
}

/* The body's next row; only what the window shows is drawn. */
static void body(int attributes, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void body(int attributes, const char *format, ...)
{
    va_list args;
    int y = HEAD_LINES + view.row++ - view.scroll;

    if (y < HEAD_LINES || y >= LINES - FOOT_LINES)
        return;
    va_start(args, format);
    put_line(y, attributes, format, args);
    va_end(args);
}

static const char *bytes_text(char text[24], uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    size_t unit = 0;

    for (; value >= 1024 && unit < 6; unit++)
        value /= 1024;
    snprintf(text, 24, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
    return text;
}

static const char *bar_text(char text[32], uint64_t part, uint64_t whole)
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
    char bar[32], a[24], b[24], c[24];

    head(1, 0, "users    %s  %" PRIu64 " of %" PRIu64, bar_text(bar, info->users, info->max_users),
         info->users, info->max_users);
    head(2, 0, "memory   %s  %s used, %s mapped, %s reserved",
         bar_text(bar, info->bytes_mapped - info->bytes_free, info->bytes_reserved),
         bytes_text(a, info->bytes_used), bytes_text(b, info->bytes_mapped),
         bytes_text(c, info->bytes_reserved));
    head(3, 0, "retired  %s  snapshots keep %s of %s; %" PRIu64 " bodies (%s) wait for readers",
         bar_text(bar, info->held_bytes, info->snapshot_max_bytes), bytes_text(a, info->held_bytes),
         bytes_text(b, info->snapshot_max_bytes), info->retired_count,
         bytes_text(c, info->retired_bytes));
}

static void draw_head(const struct sampler *sampler, double interval)
{
    const struct shm_info *info = &sampler->info;
    char clock[TEXT_TIME_SIZE];

    text_time_format(clock, (int64_t)time(NULL));
    if (sampler->store == NULL) {
        head(0, A_REVERSE, " %s   every %.1f s", clock, interval);
        head(2, A_BOLD, "%s", sampler->why.text);
        return;
    }
    head(0, A_REVERSE, " %s   %s   server: %s%s   every %.1f s", sampler->options->segment, clock,
         info->owned ? "attached" : "none", info->rebuilding ? " (rebuild)" : "", interval);
    draw_bars(info);
    head(4, 0,
         "version  %" PRIu64 "   commits/s %.1f, over 10 s %.1f, over 60 s %.1f   %" PRIu64
         " of %d slots",
         info->version, sampler->commits.now, sampler->commits.avg10, sampler->commits.avg60,
         info->actors, SHM_SLOTS);
}

static void draw_slots(const struct sampler *sampler)
{
    char held[24];

    body(A_BOLD, "%4s %-7s %6s %8s %-7s %8s %9s %10s %12s %10s %11s", "slot", "kind", "number",
         "pid", "state", "behind", "snapshots", "keeps", "calls", "calls/s", "connections");
    for (size_t i = 0; i < sampler->num_slots; i++) {
        const struct sampler_slot *slot = &sampler->slots[i];
        const struct shm_slot_info *info = &slot->info;
        body(0,
             "%4u %-7s %6u %8" PRIu32 " %-7s %8" PRIu64 " %9" PRIu64 " %10s %12" PRIu64
             " %10.1f %11" PRIu64,
             info->slot, actors_kind_name(info->kind), info->number, info->pid,
             actors_state_name(info), info->behind, info->snapshots,
             bytes_text(held, info->held_bytes), slot->calls, slot->call_rate, slot->connections);
    }
    body(0, "%s", "");
}

static void draw_counters(const struct sampler *sampler)
{
    body(A_BOLD, "%12s %10s %10s %10s  %s", "value", "now/s", "10 s", "60 s", "counter");
    for (size_t i = 0; i < sampler->num_counters; i++) {
        const struct sampler_counter *counter = &sampler->counters[i];
        if (counter->value == 0 && !view.zeros)
            continue;
        size_t shift = strnlen(counter->label, (size_t)view.shift);
        const char *label = counter->label + shift;
        if (counter->gauge)
            body(0, "%12" PRIu64 " %10s %10.1f %10.1f  %s", counter->value, "-",
                 counter->rate.avg10, counter->rate.avg60, label);
        else
            body(0, "%12" PRIu64 " %10.1f %10.1f %10.1f  %s", counter->value, counter->rate.now,
                 counter->rate.avg10, counter->rate.avg60, label);
    }
    if (sampler->num_counters == 0)
        body(0, "the segment has no counters");
}

static int window_rows(void)
{
    int rows = LINES - HEAD_LINES - FOOT_LINES;

    return rows > 0 ? rows : 1;
}

static void clamp_scroll(void)
{
    int last = view.rows - window_rows();

    if (view.scroll > last)
        view.scroll = last;
    if (view.scroll < 0)
        view.scroll = 0;
}

void screen_draw(const struct sampler *sampler, double interval)
{
    for (int pass = 0; pass < 2; pass++) { /* again where the body has become shorter */
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
    head(LINES - 1, A_REVERSE,
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

static enum screen_key take_key(int key)
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
    struct pollfd ends[3] = {{.fd = view.no_keys ? -1 : STDIN_FILENO, .events = POLLIN},
                             {.fd = STDOUT_FILENO},
                             {.fd = guard_fd(), .events = POLLIN}};
    struct timespec wait = {ms / 1000, ms % 1000 * 1000000L};
    int ready = ppoll(ends, 3, &wait, &waiting);

    if (ready > 0 && ((ends[1].revents & (POLLERR | POLLHUP)) != 0 || ends[2].revents != 0))
        return SCREEN_QUIT;
    int key = getch();
    if (key == ERR && ready > 0 && ends[0].revents != 0)
        view.no_keys = true; /* stdin is readable and has nothing: its end */
    if (key != ERR)
        return take_key(key);
    return ready < 0 ? SCREEN_AGAIN
                     : SCREEN_NONE; /* a signal, such as that of a screen that was stopped */
}
