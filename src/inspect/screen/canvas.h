/* SPDX-License-Identifier: MIT */
/* Lines of text on the terminal: a head, a body that scrolls, and a foot of one line. */
#ifndef ROSTERD_INSPECT_SCREEN_CANVAS_H
#define ROSTERD_INSPECT_SCREEN_CANVAS_H

enum {
    CANVAS_HEAD_LINES = 8,
    CANVAS_FOOT_LINES = 1,
    CANVAS_LINE_MAX = 512, /* bytes; what is beyond is cut off */
};

enum canvas_style {
    CANVAS_PLAIN,
    CANVAS_BAR, /* reverse, as wide as the window */
    CANVAS_BOLD,
    CANVAS_WARNING, /* yellow */
    CANVAS_DANGER,  /* red */
};

/** Chooses colours if the terminal has them and NO_COLOR (no-color.org) is not set or empty.
 * Without colours, warnings and dangers are bold. To be called once the terminal is open. */
void canvas_open(void);
/**
 * Begins a picture.
 * @param scroll rows of the body above the window
 * @param shift columns of head and body that are left out behind those that canvas_keep() keeps
 */
void canvas_begin(int scroll, int shift);
/** Sets how many columns of the following lines stay where they are. */
void canvas_keep(int columns);
/** Draws a line of the head, or the foot, where y is canvas_foot(). Bars are not shifted. A line
 * that goes on behind the window's right edge ends in >. */
void canvas_line(int y, enum canvas_style style, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int canvas_foot(void);
/** Draws the next row of the body, if it is in the window. */
void canvas_row(enum canvas_style style, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/** Ends the picture and shows it. @return the rows that the body has */
int canvas_end(void);
/** Rows of the body that the window shows. */
int canvas_window(void);

#endif
