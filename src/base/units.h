/* SPDX-License-Identifier: MIT */
/* Numbers, sizes and durations in the form in which people write them in options. */
#ifndef ROSTERD_BASE_UNITS_H
#define ROSTERD_BASE_UNITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Parses decimal digits and nothing else. All four functions return false for other text, and for
 * values over UINT64_MAX. */
bool units_parse_count(const char *text, uint64_t *number);
/** Parses a number of things: "500", "64K", "1M", "2G", in powers of 1000. */
bool units_parse_number(const char *text, uint64_t *number);
/** Parses a number of bytes: "512", "64K", "4M", "16G", "1T", in powers of 1024. */
bool units_parse_size(const char *text, uint64_t *bytes);
/** Parses a duration: "500ms", "30s", "5m", "2h", "1d"; a number alone means seconds. */
bool units_parse_time(const char *text, uint64_t *ms);

/** Format a value so that the parsers read it back, in the largest unit that divides it. */
void units_format_size(char *text, size_t size, uint64_t bytes);
void units_format_time(char *text, size_t size, uint64_t ms);

#endif
