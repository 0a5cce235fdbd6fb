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

static enum lines_result next_line(struct lines *lines, const char **line, size_t *len)
{
    size_t searched = 0; /* bytes of the line that are known to hold no newline */
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

/* ---- entries of several lines ---- */

/* Looks for the end of an entry in the `len` bytes that are there, from scan->at on. Returns
 * whether it is there: scan->at is then where it is. */
typedef bool scan_entry(struct lines_scan *scan, const char *text, size_t len);

/* A row of CSV ends at a newline outside of quotes. Quotes count in a cell that begins with one;
 * two for one inside of them close and open. */
static bool scan_row(struct lines_scan *scan, const char *text, size_t len)
{
    for (; scan->at < len; scan->at++) {
        char c = text[scan->at];
        if (c == '\n' && !scan->quoted)
            return true;
        scan->newlines += c == '\n';
        bool turns = c == '"' && (scan->quoted || !scan->inside);
        scan->quoted = scan->quoted != turns;
        scan->inside = !turns && !scan->quoted && c != ',';
    }
    return false;
}

static bool scan_object(struct lines_scan *scan, const char *text, size_t len)
{
    while (scan->at < len) {
        char c = text[scan->at++];
        bool escaped = scan->escaped;
        scan->newlines += c == '\n';
        scan->escaped = scan->quoted && !escaped && c == '\\';
        if (c == '"' && !escaped)
            scan->quoted = !scan->quoted;
        if (scan->quoted)
            continue;
        if (c == '{' || c == '[')
            scan->depth++;
        if ((c == '}' || c == ']') && --scan->depth == 0)
            return true;
    }
    return false;
}

/* Looks for the end of the next entry and reads what it needs. Returns LINES_READ if it is there,
 * LINES_END if the file ends before. What is too long is dropped. */
static enum lines_result find_end(struct lines *lines, scan_entry *scan_more)
{
    struct lines_scan *scan = &lines->scan;
    for (;;) {
        bool found = scan_more(scan, lines->buffer + lines->at, lines->end - lines->at);
        if (scan->at > lines->longest || scan->too_long) {
            lines->at += scan->at;
            scan->at = 0;
            scan->too_long = true;
        }
        if (found || lines->at_end)
            return found ? LINES_READ : LINES_END;
        if (!fill_buffer(lines))
            return LINES_FAILED;
    }
}

/* Passes the entry that find_end() has found, and `behind` more bytes. */
static enum lines_result pass_entry(struct lines *lines, size_t behind, const char **line,
                                    size_t *len)
{
    bool too_long = lines->scan.too_long;
    *line = lines->buffer + lines->at;
    *len = lines->scan.at;
    lines->number = lines->passed + 1;
    lines->passed += lines->scan.newlines + behind;
    lines->at += lines->scan.at + behind;
    lines->scan = (struct lines_scan){0};
    return too_long ? LINES_LONG : LINES_READ;
}

static enum lines_result next_csv_row(struct lines *lines, const char **line, size_t *len)
{
    enum lines_result result = find_end(lines, scan_row);
    if (result == LINES_FAILED)
        return result;
    if (result == LINES_END && lines->scan.at == 0 && !lines->scan.too_long)
        return LINES_END;
    return pass_entry(lines, result == LINES_READ, line, len);
}

/* ---- arrays ---- */

static enum lines_result bad_array(struct lines *lines, const char *why)
{
    lines->number = lines->passed + 1;
    lines->why = why;
    return LINES_BAD;
}

/* Passes blanks. *c is the next byte, which is not passed, or '\0' at the end of the file. */
static enum lines_result skip_blanks(struct lines *lines, char *c)
{
    for (;;) {
        for (; lines->at < lines->end; lines->at++) {
            *c = lines->buffer[lines->at];
            if (*c != ' ' && *c != '\t' && *c != '\r' && *c != '\n')
                return LINES_READ;
            lines->passed += *c == '\n';
        }
        *c = '\0';
        if (lines->at_end)
            return LINES_END;
        if (!fill_buffer(lines))
            return LINES_FAILED;
    }
}

static enum lines_result next_object(struct lines *lines, const char **line, size_t *len)
{
    enum lines_result result = find_end(lines, scan_object);
    if (result == LINES_END)
        return bad_array(lines, "the array ends inside one of its objects");
    if (result == LINES_FAILED)
        return result;
    lines->next = LINES_COMMA;
    return pass_entry(lines, 0, line, len);
}

static enum lines_result next_element(struct lines *lines, const char **line, size_t *len)
{
    for (;;) {
        char c = '{'; /* an object that has been looked at in part */
        if (lines->scan.at == 0 && !lines->scan.too_long && skip_blanks(lines, &c) == LINES_FAILED)
            return LINES_FAILED;
        if (lines->next == LINES_NOTHING)
            return c == '\0' && lines->at == lines->end
                       ? LINES_END
                       : bad_array(lines, "text after the end of the array");
        bool wants_object = lines->next == LINES_OBJECT || lines->next == LINES_FIRST_OBJECT;
        if (c == '{' && wants_object)
            return next_object(lines, line, len);
        if (c == '[' && lines->next == LINES_BRACKET)
            lines->next = LINES_FIRST_OBJECT;
        else if (c == ',' && lines->next == LINES_COMMA)
            lines->next = LINES_OBJECT;
        else if (c == ']' && (lines->next == LINES_COMMA || lines->next == LINES_FIRST_OBJECT))
            lines->next = LINES_NOTHING;
        else if (lines->at == lines->end)
            return bad_array(lines, "truncated: the array has no ] at its end");
        else
            return bad_array(lines, wants_object ? "an element of the array is not an object"
                                                 : "the array needs a , or ] here");
        lines->at++;
    }
}

/* ---- any form ---- */

static const char byte_order_mark[] = "\xEF\xBB\xBF";
enum { MARK_LEN = sizeof(byte_order_mark) - 1 };

/* The first byte that is neither of a byte order mark nor blank; lines->end: it is not there yet.
 */
static size_t first_byte(const struct lines *lines)
{
    size_t i = 0;
    while (i < MARK_LEN && i < lines->end && lines->buffer[i] == byte_order_mark[i])
        i++;
    if (i < MARK_LEN && i < lines->end)
        i = 0; /* no mark */
    while (i < lines->end && memchr(" \t\r\n", lines->buffer[i], 4) != NULL)
        i++;
    return i;
}

/* Finds out the form from the first bytes, and waits for no more than it needs: they may come from
 * a person. Returns false with errno set. */
static bool detect_form(struct lines *lines)
{
    while (first_byte(lines) == lines->end && !lines->at_end && lines->end < lines->longest)
        if (!fill_buffer(lines))
            return false;
    size_t i = first_byte(lines);
    if (lines->end >= MARK_LEN && memcmp(lines->buffer, byte_order_mark, MARK_LEN) == 0)
        lines->at = MARK_LEN;
    lines->detect = false;
    if (i < lines->end && lines->buffer[i] != '{')
        lines->form = lines->buffer[i] == '[' ? LINES_ARRAY : LINES_CSV;
    return true;
}

enum lines_result lines_next(struct lines *lines, const char **line, size_t *len)
{
    assert(lines->longest < LINES_BUFFER_SIZE);
    if (lines->detect && !detect_form(lines))
        return LINES_FAILED;
    switch (lines->form) {
    case LINES_CSV:
        return next_csv_row(lines, line, len);
    case LINES_ARRAY:
        return next_element(lines, line, len);
    case LINES_PLAIN:
        break;
    }
    return next_line(lines, line, len);
}
