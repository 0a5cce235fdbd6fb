/* SPDX-License-Identifier: MIT */
/* watch's full screen. */
#ifndef ROSTERD_INSPECT_SCREEN_SCREEN_H
#define ROSTERD_INSPECT_SCREEN_SCREEN_H

#include "inspect/screen/sampler.h"

/** Takes the terminal, of stdin and stdout. @return INSPECT_DONE, or a fault told */
enum inspect_exit screen_open(void);
/** Gives it back as it was. So does any signal that ends the process, if it can be caught. */
void screen_close(void);

void screen_draw(const struct sampler *sampler, double interval);

enum screen_key {
    SCREEN_NONE,  /* `ms` have passed */
    SCREEN_AGAIN, /* to be drawn again: a key has changed the view, or the window its size */
    SCREEN_FASTER,
    SCREEN_SLOWER,
    SCREEN_QUIT, /* also where the terminal has gone, or a signal to stop has come */
};
/** Waits for a key, a signal or the time, whatever is first. */
enum screen_key screen_wait(int ms);

#endif
