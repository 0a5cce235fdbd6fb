/* SPDX-License-Identifier: MIT */
/* Where logs go: a file that is appended to, or a descriptor that the process was started with. */
#ifndef ROSTERD_BASE_OUTPUT_H
#define ROSTERD_BASE_OUTPUT_H

#include <stdbool.h>

/**
 * Whether the path is another name of a descriptor of this process: /dev/stdout, /dev/stderr,
 * /dev/fd/N, /proc/self/fd/N. Such a one is written to as it is, for a socket (systemd's
 * journal) cannot be opened by its name.
 * @return its number, or -1
 */
int output_descriptor(const char *path);
/**
 * Opens a file to append to, which is made with mode 0640, or a copy of a descriptor
 * (output_descriptor()). Never waits: a FIFO that nobody reads is ENXIO, and takes nothing
 * (EAGAIN) where it is full.
 * @return a descriptor, close-on-exec, or -1 with errno set: EBADF for a descriptor that is not
 * open for writing, or is one of this program's own (close-on-exec)
 */
int output_open(const char *path);
/** What the errno of output_open() says to a person. */
const char *output_error(int error);
/** Whether output_open() would find a descriptor to copy; errno as there. */
bool output_descriptor_is_good(int fd);

#endif
