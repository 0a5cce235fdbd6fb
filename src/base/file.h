/* SPDX-License-Identifier: MIT */
/*
 * Reads a whole file that the configuration names: certificates, keys, the configuration itself.
 * Whatever the path leads to, the read never blocks (on a FIFO or a terminal) and never takes more
 * memory than the caller allows (for a device without an end, or a file that grows).
 */
#ifndef ROSTERD_BASE_FILE_H
#define ROSTERD_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/fault.h"

struct file {
    char *text;  /* a NUL byte follows */
    size_t len;  /* bytes, without the NUL */
    mode_t mode; /* permission bits */
};

/**
 * Reads a regular file of at most `max` bytes; /dev/null counts as an empty file. The text is in a
 * mapping that core dumps leave out, because it may be a key.
 * @param file is overwritten; the caller calls file_free(), which does nothing after a failure
 * @return false: the reason, without the path
 */
bool file_read(struct file *file, const char *path, size_t max, struct fault *fault);
/** Wipes the text and frees it. */
void file_free(struct file *file);
/** Whether this process may make a file at the path, as far as its directory tells.
 * @return false, with errno set */
bool file_may_be_made(const char *path);

#endif
