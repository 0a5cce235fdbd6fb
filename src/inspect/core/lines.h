/* SPDX-License-Identifier: MIT */
/* Reads a file line by line, in bounded memory. */
#ifndef ROSTERD_INSPECT_CORE_LINES_H
#define ROSTERD_INSPECT_CORE_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LINES_BUFFER_SIZE = 256 << 10 }; /* bytes */

/** The caller zeroes it and sets the first four members. */
struct lines {
    int fd;
    bool from_start; /* read a regular file from its start, and leave the file offset unchanged */
    bool (*wait)(int fd); /* called before each read if not NULL; false: fail, errno is set */
    size_t longest;       /* the most bytes of a line, without its newline; < LINES_BUFFER_SIZE */
    uint64_t number;      /* of the last line returned, from 1 */
    uint64_t bytes;       /* read so far */
    size_t at, end;       /* the part of the buffer that has not been returned */
    bool at_end;          /* the end of the file has been read */
    char buffer[LINES_BUFFER_SIZE];
};

enum lines_result {
    LINES_READ,
    LINES_LONG, /* the line is longer than `longest` and has been skipped */
    LINES_END,
    LINES_FAILED, /* errno is set; the next call tries again */
};

/** Returns the next line. @param line not terminated; valid until the next call */
enum lines_result lines_next(struct lines *lines, const char **line, size_t *len);

#endif
