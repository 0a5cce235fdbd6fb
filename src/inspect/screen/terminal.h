/* SPDX-License-Identifier: MIT */
/* The terminal in full-screen mode (ncurses), for the screen of watch. */
#ifndef ROSTERD_INSPECT_SCREEN_TERMINAL_H
#define ROSTERD_INSPECT_SCREEN_TERMINAL_H

#include "inspect/core/report.h"

/**
 * Switches the terminal at stdin and stdout to full-screen mode. Signals that would kill the
 * process restore the terminal first, if they can be caught.
 * @return INSPECT_DONE, or the exit status of a failure that has been reported
 */
enum inspect_exit terminal_open(void);
/** Restores the terminal. Does nothing if it is not open. */
void terminal_close(void);

enum terminal_event {
    TERMINAL_TIME,   /* the time is over */
    TERMINAL_KEY,    /* *key is a key of ncurses */
    TERMINAL_SIGNAL, /* a signal was handled, SIGWINCH or SIGCONT: draw again */
    TERMINAL_END,    /* the terminal has gone, or a signal asks the program to stop */
};
/** Waits up to `ms` milliseconds for a key, a signal, or the end. */
enum terminal_event terminal_wait(int ms, int *key);

#endif
