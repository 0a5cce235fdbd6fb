/* SPDX-License-Identifier: MIT */
#include "inspect/core/lines.h"

#include <assert.h>
#include <string.h>
#include <unistd.h>

/* Moves the unreturned bytes to the start of the buffer and reads more behind them. Returns false
 * with errno set. */
static bool fill_buffer(struct lines *lines)
{
    if (lines->at > 0) {
        memmove(lines->buffer, lines->buffer + lines->at, lines->end - lines->at);
        lines->end -= lines->at;
        lines->at = 0;
    }
    if (lines->wait != NULL && !lines->wait(lines->fd))
        return false;
    char *to = lines->buffer + lines->end;
    size_t room = sizeof(lines->buffer) - lines->end;
    assert(room > 0); /* a line that could fill the buffer is longer than `longest` */
    ssize_t got = lines->from_start ? pread(lines->fd, to, room, (off_t)lines->bytes)
                                    : read(lines->fd, to, room);
    if (got < 0)
        return false;
    lines->at_end = got == 0;
    lines->end += (size_t)got;
    lines->bytes += (uint64_t)got;
    return true;
}

/* Drops the rest of a line that is too long, with its newline. */
static enum lines_result skip_line(struct lines *lines)
{
    for (;;) {
        char *start = lines->buffer + lines->at;
        char *newline = memchr(start, '\n', lines->end - lines->at);
        if (newline != NULL) {
            lines->at += (size_t)(newline - start) + 1;
            return LINES_LONG;
        }
        lines->at = lines->end;
        if (lines->at_end)
            return LINES_LONG;
        if (!fill_buffer(lines))
            return LINES_FAILED;
    }
}

enum lines_result lines_next(struct lines *lines, const char **line, size_t *len)
{
    size_t searched = 0; /* bytes of the line that are known to hold no newline */
    assert(lines->longest < LINES_BUFFER_SIZE);
    for (;;) {
        char *start = lines->buffer + lines->at;
        size_t have = lines->end - lines->at;
        char *newline = memchr(start + searched, '\n', have - searched);
        *line = start;
        *len = newline != NULL ? (size_t)(newline - start) : have;
        if (newline == NULL && *len <= lines->longest && !lines->at_end) {
            searched = have;
            if (!fill_buffer(lines))
                return LINES_FAILED;
            continue;
        }
        if (newline == NULL && *len == 0)
            return LINES_END;
        lines->number++;
        if (*len > lines->longest)
            return skip_line(lines);
        lines->at += *len + (newline != NULL);
        return LINES_READ;
    }
}
