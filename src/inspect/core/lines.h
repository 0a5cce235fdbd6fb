/* SPDX-License-Identifier: MIT */
/* A file's lines, one after the other, in bounded memory. */
#ifndef ROSTERD_INSPECT_LINES_H
#define ROSTERD_INSPECT_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LINES_BUFFER_SIZE = 256 << 10 }; /* bytes */

/** Start with all zero but fd, longest and, where wanted, wait and beside. */
struct lines {
    int fd;
    bool beside; /* a regular file from its start, whose descriptor's place stays as it is */
    bool (*wait)(int fd); /* called before each read(); false: give up, errno says why */
    size_t longest;       /* bytes of a line without its newline, < LINES_BUFFER_SIZE */
    uint64_t number;      /* of the last line returned, from 1 */
    uint64_t bytes;       /* read so far */
    size_t at, end;       /* what of the buffer is not yet returned */
    bool at_end;          /* of the file */
    char buffer[LINES_BUFFER_SIZE];
};

enum lines_result {
    LINES_READ,
    LINES_LONG, /* too long; skipped */
    LINES_END,
    LINES_FAILED, /* errno says why */
};

/** @param line not terminated; valid until the next call */
enum lines_result lines_next(struct lines *lines, const char **line, size_t *len);

#endif
