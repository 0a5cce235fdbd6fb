/* SPDX-License-Identifier: MIT */
/* Draws what watch has sampled on the terminal, and handles the keys that change the view. */
#ifndef ROSTERD_INSPECT_SCREEN_SCREEN_H
#define ROSTERD_INSPECT_SCREEN_SCREEN_H

#include "inspect/screen/sampler.h"

/** Draws the screen. The terminal is open (terminal.h). @param interval seconds, to show */
void screen_draw(const struct sampler *sampler, double interval);

enum screen_key {
    SCREEN_NONE,   /* the time is over, or the key has no meaning */
    SCREEN_AGAIN,  /* draw again: a key has changed the view, or the window has another size */
    SCREEN_FASTER, /* halve the interval */
    SCREEN_SLOWER, /* double the interval */
    SCREEN_QUIT,   /* a key, the terminal has gone, or a signal asks the program to stop */
};
/** Waits up to `ms` milliseconds for a key or a signal. */
enum screen_key screen_wait(int ms);

#endif
