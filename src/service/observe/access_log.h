/* SPDX-License-Identifier: MIT */
/*
 * The file of the access log, and the ring of memory in which lines wait for the thread that writes
 * them: a worker never waits for a file, pipe or disk. Lines are lost, and counted, when the ring
 * is full or a write fails. access_log_line.h says what a line contains.
 */
#ifndef ROSTERD_SERVICE_OBSERVE_ACCESS_LOG_H
#define ROSTERD_SERVICE_OBSERVE_ACCESS_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ACCESS_LOG_LINE_MAX = 4096
}; /* bytes with the newline: PIPE_BUF, so a pipe keeps it whole */

struct access_log; /* one per worker */

/** Opens the file for appending, so that the lines of several workers stay whole.
 * @param path see output_open(); NULL: standard error
 * @return a close-on-exec descriptor, or -1 with errno set */
int access_log_open(const char *path);
/** Reopens a file that was moved or removed, as descriptor `fd`, to which another thread may be
 * writing. Does nothing for a descriptor that the process was started with.
 * @return false with errno set: the old file stays open */
bool access_log_open_again(const char *path, int fd);

/**
 * Starts the writing thread. Called after the fork, with signals blocked.
 * @param fd stays the caller's and must stay open; opened for appending if several workers write to
 *   the file
 * @param ring_size bytes: a power of two, at least ACCESS_LOG_LINE_MAX
 * @return NULL with errno set
 */
struct access_log *access_log_create(int fd, bool json, size_t ring_size);
/** Writes what the ring holds, for at most wait_ms, and ends the thread. NULL: does nothing. */
void access_log_destroy(struct access_log *log, unsigned wait_ms);

/** Appends a line that ends in a newline. @return false: the ring is full, and the line is lost */
bool access_log_append(struct access_log *log, const char *line, size_t len);
/** Wakes the thread if lines were appended. Called once in each turn of the loop; cheap when there
 * are none. */
void access_log_flush(struct access_log *log);
/** How many lines were lost so far. */
uint64_t access_log_dropped(const struct access_log *log);
/** The errno of the last write that failed; 0: none failed, so lines were lost because the file is
 * too slow. */
int access_log_error(const struct access_log *log);
/** The format that the log was created with. */
bool access_log_json(const struct access_log *log);

#endif
