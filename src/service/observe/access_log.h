/* SPDX-License-Identifier: MIT */
/*
 * The access log: a line for each call when it has ended, as text (key=value) or JSON, with the
 * same keys in both:
 *
 *   time          when the call ended, UTC, to the millisecond
 *   peer          the client's address
 *   method        the path, as the client sent it
 *   status        "OK", "NotFound": as metrics name it
 *   message       what the client was told with it
 *   duration      seconds, to the microsecond
 *   messages_in, messages_out, bytes_in, bytes_out
 *   request_id    the client's x-request-id, or one that is made here
 *   trace_id      of traceparent (W3C Trace Context)
 *   token         the name of the client's token
 *   subject       of the client's certificate (RFC 2253)
 *   deadline_left seconds that were left, negative past it
 *
 * What there is none of is - as text and null as JSON. As text a value that is not all visible
 * ASCII without "=\ stands in quotes, with \" \\ and \xNN; in JSON what is no UTF-8 becomes
 * U+FFFD. A field is cut where it is long, with ... behind.
 *
 * Lines wait in a ring of memory for a thread that writes them: a worker never waits for a file,
 * pipe or disk. Where the ring is full or a write fails, lines are lost, and counted.
 */
#ifndef ROSTERD_SERVICE_OBSERVE_ACCESS_LOG_H
#define ROSTERD_SERVICE_OBSERVE_ACCESS_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ACCESS_LOG_LINE_MAX = 4096 }; /* bytes with the newline: what a pipe takes in one piece */

struct access_log; /* one per worker */

/** Where a log goes: appended to, so that the lines of all workers stay whole. @param path NULL:
 * standard error; see output_open(). @return a descriptor, close-on-exec, or -1 with errno set */
int access_log_open(const char *path);
/** Opens the file anew, which was moved or removed, in the place of a descriptor that may be
 * written to meanwhile. One that the process was started with stays. @return false with errno set:
 * the old file stays */
bool access_log_open_again(const char *path, int fd);

/**
 * Starts the thread: after fork, with signals blocked.
 * @param fd stays the caller's, and open; append-only where several workers write to a file
 * @param ring_size bytes, a power of two, at least ACCESS_LOG_LINE_MAX
 * @return NULL with errno set
 */
struct access_log *access_log_create(int fd, bool json, size_t ring_size);
/** Writes what waits, for as long as `wait_ms` at most, and ends. NULL is nothing to do. */
void access_log_destroy(struct access_log *log, unsigned wait_ms);

/** Appends a line, newline included. @return false where there is no room: it is counted */
bool access_log_append(struct access_log *log, const char *line, size_t len);
/** Once a turn of the loop: wakes the thread where there are lines. Cheap where there are none. */
void access_log_flush(struct access_log *log);
/** Lines lost until now. */
uint64_t access_log_dropped(const struct access_log *log);
/** Why the last write failed, an errno; 0: none did, and lines were lost because it took too long
 */
int access_log_error(const struct access_log *log);
bool access_log_json(const struct access_log *log);

/* ---- texts, for tests ---- */

/** Writes a value as text or JSON has it, at most `limit` bytes (16 at least).
 * @return where the next byte goes */
char *access_log_put_text(char *out, const char *value, size_t len, size_t limit);
char *access_log_put_json(char *out, const char *value, size_t len, size_t limit);

#endif
