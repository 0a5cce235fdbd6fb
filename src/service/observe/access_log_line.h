/* SPDX-License-Identifier: MIT */
/*
 * One line of the access log, for a call that has ended, as text (key=value) or JSON, with the same
 * keys in both:
 *
 *   time          when the call ended, UTC, in milliseconds
 *   peer          the client's address
 *   method        the path as the client sent it
 *   status        "OK", "NotFound", ...: the names that metrics use, too
 *   message       the status message that the client got
 *   duration      seconds, in microseconds
 *   messages_in, messages_out, bytes_in, bytes_out
 *   request_id    the client's x-request-id, or an id that is made here
 *   trace_id      of traceparent (W3C Trace Context)
 *   token         the name of the client's token
 *   subject       of the client's certificate (RFC 2253)
 *   deadline_left seconds that were left until the deadline; negative when it had passed
 *
 * A missing value is - as text and null as JSON. As text, a value that is not visible ASCII without
 * "=\ is quoted, with \" \\ and \xNN; in JSON, bytes that are no UTF-8 become U+FFFD. A long value
 * is cut and ends in ...
 */
#ifndef ROSTERD_SERVICE_OBSERVE_ACCESS_LOG_LINE_H
#define ROSTERD_SERVICE_OBSERVE_ACCESS_LOG_LINE_H

#include <stddef.h>

/* The two functions that quote values are public for tests and fuzzing. */

/** Writes a value as text or as JSON, at most `limit` bytes (16 at least); no NUL.
 * @return the end of what was written */
char *access_log_put_text(char *out, const char *value, size_t len, size_t limit);
char *access_log_put_json(char *out, const char *value, size_t len, size_t limit);

#endif
