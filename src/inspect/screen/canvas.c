/* SPDX-License-Identifier: MIT */
#include "inspect/screen/canvas.h"

#include <ncurses.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

enum { PAIR_WARNING = 1, PAIR_DANGER };

static bool colours;
static int first_row, cut; /* of the picture: what scrolling leaves out */
static int kept;           /* columns before what is cut */
static int row;            /* the next one of the body */

void canvas_open(void)
{
    const char *none = getenv("NO_COLOR");
    colours = (none == NULL || none[0] == '\0') && has_colors() && start_color() == OK &&
              use_default_colors() == OK && init_pair(PAIR_WARNING, COLOR_YELLOW, -1) == OK &&
              init_pair(PAIR_DANGER, COLOR_RED, -1) == OK;
}

static int attributes_of(enum canvas_style style)
{
    switch (style) {
    case CANVAS_PLAIN:
        break;
    case CANVAS_BAR:
        return A_REVERSE;
    case CANVAS_BOLD:
        return A_BOLD;
    case CANVAS_WARNING:
        return colours ? COLOR_PAIR(PAIR_WARNING) : A_BOLD;
    case CANVAS_DANGER:
        return colours ? A_BOLD | COLOR_PAIR(PAIR_DANGER) : A_BOLD;
    }
    return A_NORMAL;
}

/* The text behind its first characters. */
static char *skip(char *text, int characters)
{
    for (; characters > 0 && *text != '\0'; characters--) {
        text++;
        while (((unsigned char)*text & 0xc0) == 0x80) /* UTF-8 */
            text++;
    }
    return text;
}

/* Leaves out what sideways scrolling hides. */
static void shift_left(char *line)
{
    char *to = skip(line, kept);
    const char *from = skip(to, cut);
    memmove(to, from, strlen(from) + 1);
}

static void draw_line(int y, enum canvas_style style, const char *format, va_list args)
{
    char line[CANVAS_LINE_MAX];
    if (y < 0 || y >= LINES)
        return;
    vsnprintf(line, sizeof(line), format, args);
    if (style != CANVAS_BAR)
        shift_left(line);
    attrset(attributes_of(style));
    mvaddnstr(y, 0, line, COLS);
    if (style != CANVAS_BAR && *skip(line, COLS) != '\0')
        mvaddch(y, COLS - 1, '>'); /* otherwise a number could be half of itself */
    if (style == CANVAS_BAR)
        mvchgat(y, 0, -1, A_REVERSE, 0, NULL);
    attrset(A_NORMAL);
}

void canvas_begin(int scroll, int shift)
{
    erase();
    first_row = scroll;
    cut = shift;
    kept = 0;
    row = 0;
}

void canvas_keep(int columns)
{
    kept = columns;
}

void canvas_line(int y, enum canvas_style style, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    draw_line(y, style, format, args);
    va_end(args);
}

int canvas_foot(void)
{
    return LINES - 1;
}

void canvas_row(enum canvas_style style, const char *format, ...)
{
    va_list args;
    int y = CANVAS_HEAD_LINES + row++ - first_row;
    if (y < CANVAS_HEAD_LINES || y >= LINES - CANVAS_FOOT_LINES)
        return;
    va_start(args, format);
    draw_line(y, style, format, args);
    va_end(args);
}

int canvas_end(void)
{
    refresh();
    return row;
}

int canvas_window(void)
{
    return MAX(LINES - CANVAS_HEAD_LINES - CANVAS_FOOT_LINES, 1);
}
