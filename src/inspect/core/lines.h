/* SPDX-License-Identifier: MIT */
/*
 * Reads a file entry by entry, in bounded memory. An entry is a line; in a file of CSV a row, which
 * may have newlines inside its quotes (RFC 4180); in an array of JSON one of its objects.
 */
#ifndef ROSTERD_INSPECT_CORE_LINES_H
#define ROSTERD_INSPECT_CORE_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LINES_BUFFER_SIZE = 256 << 10 }; /* bytes */

enum lines_form { LINES_PLAIN, LINES_CSV, LINES_ARRAY };

/** The caller zeroes it and sets the first five members. */
struct lines {
    int fd;
    bool from_start; /* read a regular file from its start, and leave the file offset unchanged */
    bool (*wait)(int fd); /* called before each read if not NULL; false: fail, errno is set */
    size_t longest;       /* the most bytes of a line, without its newline; < LINES_BUFFER_SIZE */
    /* Find out at the first call: a file that begins with { has lines, one that begins with [ is an
     * array, and any other is CSV. A byte order mark is skipped. false: lines. */
    bool detect;
    enum lines_form form;
    uint64_t number; /* of the line on which the last entry begins, from 1 */
    uint64_t bytes;  /* read so far */
    size_t at, end;  /* the part of the buffer that has not been returned */
    bool at_end;     /* the end of the file has been read */
    const char *why; /* of LINES_BAD */
    /* Of CSV and arrays: the newlines that have been passed, the next thing in the array, and how
     * far the next entry has been looked at. */
    uint64_t passed;
    enum lines_next_thing {
        LINES_BRACKET,
        LINES_FIRST_OBJECT,
        LINES_OBJECT,
        LINES_COMMA,
        LINES_NOTHING
    } next;
    struct lines_scan {
        size_t at; /* bytes */
        uint64_t newlines;
        unsigned depth;
        bool quoted, escaped, inside; /* `inside`: of a cell that began without a quote */
        bool too_long;                /* what was looked at has been dropped */
    } scan;
    char buffer[LINES_BUFFER_SIZE];
};

enum lines_result {
    LINES_READ,
    LINES_LONG, /* the entry is longer than `longest` and has been skipped */
    LINES_BAD,  /* it is no array: `why` tells what is wrong at line `number`. It cannot go on */
    LINES_END,
    LINES_FAILED, /* errno is set; the next call tries again */
};

/** Returns the next entry, without the newline. @param line not terminated; valid until the next
 * call */
enum lines_result lines_next(struct lines *lines, const char **line, size_t *len);

#endif
