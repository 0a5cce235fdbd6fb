/* SPDX-License-Identifier: MIT */
/* Numbers as people write them in options. */
#ifndef ROSTERD_BASE_UNITS_H
#define ROSTERD_BASE_UNITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Decimal digits and nothing else. All three: false for anything else and past UINT64_MAX. */
bool units_parse_count(const char *text, uint64_t *number);
/** Bytes: "512", "64K", "4M", "16G", "1T", in powers of 1024. */
bool units_parse_size(const char *text, uint64_t *bytes);
/** Milliseconds: "500ms", "30s", "5m", "2h", "1d"; a bare number is seconds. */
bool units_parse_time(const char *text, uint64_t *ms);

/** The same, back: in the largest unit that leaves no rest. */
void units_format_size(char *text, size_t size, uint64_t bytes);
void units_format_time(char *text, size_t size, uint64_t ms);

#endif
