/* SPDX-License-Identifier: MIT */
#include "inspect/screen/terminal.h"

#include <locale.h>
#include <ncurses.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <term.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "inspect/core/guard.h"
#include "inspect/core/memory.h"

static SCREEN *terminal; /* NULL: not open */
static bool no_keys;     /* stdin is at its end */

static struct termios terminal_before;
static char leave_bytes[256]; /* the control sequences that leave full-screen mode */

/* A signal handler that restores the terminal and lets the signal kill the process: only
 * async-signal-safe calls. */
static void restore_and_die(int number)
{
    ssize_t ignored = write(STDOUT_FILENO, leave_bytes, strlen(leave_bytes));
    (void)ignored;
    tcsetattr(STDOUT_FILENO, TCSANOW, &terminal_before);
    signal(number, SIG_DFL);
    raise(number);
}

/* Appends the control sequence of a terminfo capability. */
static void add_leave_bytes(const char *capability)
{
    const char *bytes = tigetstr((char *)capability);
    size_t len = strlen(leave_bytes);
    if (bytes != NULL && bytes != (const char *)-1 && len + strlen(bytes) < sizeof(leave_bytes))
        memcpy(leave_bytes + len, bytes, strlen(bytes) + 1);
}

static sigset_t wait_mask; /* the signals that are blocked during terminal_wait() */

/* Blocks SIGWINCH, which tells of a new window size, except during terminal_wait(). A SIGWINCH that
 * was handled just before the wait would not end the wait. */
static void hold_resize(void)
{
    sigset_t resize;
    sigemptyset(&resize);
    sigaddset(&resize, SIGWINCH);
    sigprocmask(SIG_BLOCK, &resize, &wait_mask);
    sigdelset(&wait_mask, SIGWINCH);
}

static void catch_fatal_signals(void)
{
    static const int numbers[] = {SIGSEGV, SIGBUS,  SIGFPE,  SIGILL,  SIGABRT, SIGQUIT,
                                  SIGALRM, SIGUSR1, SIGUSR2, SIGXCPU, SIGSYS};
    struct sigaction action = {.sa_handler = restore_and_die};
    add_leave_bytes("sgr0");
    add_leave_bytes("rmkx");
    add_leave_bytes("cnorm");
    add_leave_bytes("rmcup");
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        sigaction(numbers[i], &action, NULL);
}

enum inspect_exit terminal_open(void)
{
    const char *type = getenv("TERM");
    int known;
    setlocale(LC_CTYPE, "");
    if (tcgetattr(STDOUT_FILENO, &terminal_before) != 0)
        return report_fail(INSPECT_USAGE, "watch: stdout is not a terminal (see --json)");
    /* setupterm() first: a newterm() that fails leaks memory. */
    if (setupterm(NULL, STDOUT_FILENO, &known) == OK) {
        del_curterm(cur_term);
        terminal = newterm(NULL, stdout, stdin);
    }
    if (terminal == NULL)
        return report_fail(INSPECT_USAGE, "watch: cannot use a terminal of type '%s' (see --json)",
                           type != NULL ? type : "");
    cbreak();
    noecho();
    nonl();
    keypad(stdscr, true);
    nodelay(stdscr, true);
    curs_set(0);
    set_escdelay(50); /* ms, after which Esc is a key and not the begin of one */
    catch_fatal_signals();
    hold_resize();
    memory_before_message(terminal_close);
    return INSPECT_DONE;
}

void terminal_close(void)
{
    if (terminal == NULL)
        return;
    endwin();
    delscreen(terminal);
    terminal = NULL;
}

enum terminal_event terminal_wait(int ms, int *key)
{
    struct pollfd ends[] = {{.fd = no_keys ? -1 : STDIN_FILENO, .events = POLLIN},
                            {.fd = STDOUT_FILENO}, /* no events: poll() reports errors anyway */
                            {.fd = guard_signal_fd(), .events = POLLIN}};
    struct timespec wait = {ms / 1000, ms % 1000 * 1000000L};
    int ready = ppoll(ends, 3, &wait, &wait_mask);
    if (ready > 0 && ((ends[1].revents & (POLLERR | POLLHUP)) != 0 || ends[2].revents != 0))
        return TERMINAL_END;
    *key = getch();
    if (*key != ERR)
        return TERMINAL_KEY;
    if (ready > 0 && ends[0].revents != 0)
        no_keys = true; /* stdin is readable but has no key */
    return ready < 0 ? TERMINAL_SIGNAL : TERMINAL_TIME;
}
