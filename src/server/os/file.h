/* SPDX-License-Identifier: MIT */
/*
 * A file that somebody configured, read whole: certificates, keys, the configuration. Whatever its
 * path leads to, reading it neither waits (a FIFO, a terminal) nor takes more memory than was said
 * (a device that never ends, a file that grows).
 */
#ifndef ROSTERD_SERVER_OS_FILE_H
#define ROSTERD_SERVER_OS_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct file {
    char *text;  /* a NUL byte follows */
    size_t len;  /* bytes */
    mode_t mode; /* its permissions */
};

/**
 * Reads a regular file of `max` bytes at most; /dev/null is an empty one. The text lies in a
 * mapping that core dumps leave out, for it may be a key.
 * @return NULL, or why it cannot be read: a phrase, valid until the next call
 */
const char *file_read(struct file *file, const char *path, size_t max);
/** Wipes and gives back what file_read() took; nothing where that failed. */
void file_free(struct file *file);

#endif
