/* SPDX-License-Identifier: MIT */
/* The destination of a log: a file that is appended to, or a descriptor that the process has
 * inherited. */
#ifndef ROSTERD_BASE_OUTPUT_H
#define ROSTERD_BASE_OUTPUT_H

#include <stdbool.h>

/**
 * Recognises a path that names a descriptor of this process: /dev/stdout, /dev/stderr, /dev/fd/N,
 * /proc/self/fd/N. Such a descriptor is copied and not opened, because a socket (systemd's journal)
 * cannot be opened by its name.
 * @return the descriptor's number; -1: the path names none
 */
int output_descriptor(const char *path);
/**
 * Opens a file for appending, and creates it with mode 0640; or copies a descriptor if the path
 * names one (output_descriptor()). Never blocks: opening a FIFO without a reader fails with ENXIO,
 * and writing to a full one with EAGAIN.
 * @return a descriptor with close-on-exec; -1 with errno set: EBADF if the descriptor is not open
 * for writing, or is one of this program's own (it has close-on-exec)
 */
int output_open(const char *path);
/** The text of an errno that output_open() has set, for a person. */
const char *output_error(int error);
/** Whether output_open() can copy this descriptor. @return false, with errno set as there */
bool output_descriptor_is_good(int fd);

#endif
