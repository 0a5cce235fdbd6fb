/* SPDX-License-Identifier: MIT */
#include "inspect/core/lines.h"

#include <string.h>
#include <unistd.h>

/* Reads more behind what is there. @return false: errno says why */
static bool fill(struct lines *lines)
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
    ssize_t got =
        lines->beside ? pread(lines->fd, to, room, (off_t)lines->bytes) : read(lines->fd, to, room);
    if (got < 0)
        return false;
    lines->at_end = got == 0;
    lines->end += (size_t)got;
    lines->bytes += (uint64_t)got;
    return true;
}

/* Drops what has come of a line that is too long, up to its newline. */
static enum lines_result skip(struct lines *lines)
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
        if (!fill(lines))
            return LINES_FAILED;
    }
}

enum lines_result lines_next(struct lines *lines, const char **line, size_t *len)
{
    size_t searched = 0;

    for (;;) {
        char *start = lines->buffer + lines->at;
        size_t have = lines->end - lines->at;
        char *newline = memchr(start + searched, '\n', have - searched);
        *line = start;
        *len = newline != NULL ? (size_t)(newline - start) : have;
        if (newline == NULL && *len <= lines->longest && !lines->at_end) {
            searched = have;
            if (!fill(lines))
                return LINES_FAILED;
            continue;
        }
        if (newline == NULL && *len == 0)
            return LINES_END;
        lines->number++;
        if (*len > lines->longest)
            return skip(lines);
        lines->at += *len + (newline != NULL);
        return LINES_READ;
    }
}
