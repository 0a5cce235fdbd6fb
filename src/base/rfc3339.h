/* SPDX-License-Identifier: MIT */
/* Points in time as people and JSON write them. */
#ifndef ROSTERD_BASE_RFC3339_H
#define ROSTERD_BASE_RFC3339_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * Reads a date-time of RFC 3339 5.6, for example 2026-01-31T23:59:59.25+01:00. The year is 1 to
 * 9999 in UTC and a fraction has at most nine digits, as in google.protobuf.Timestamp; a leap
 * second
 * (:60) is refused, because the epoch's seconds have none.
 * @param seconds since the epoch, negative before it
 * @param nanos 0 to 999,999,999, added to the seconds
 * @return false: the text is no such time; seconds and nanos are undefined
 */
bool rfc3339_parse(const uint8_t *text, size_t len, int64_t *seconds, uint32_t *nanos);

#endif
