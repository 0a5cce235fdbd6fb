/* SPDX-License-Identifier: MIT */
/*
 * Text from the segment on its way to a terminal. Nothing that a client has stored may move the
 * cursor, forge a line or make one text look like another.
 */
#ifndef ROSTERD_INSPECT_CORE_TEXT_H
#define ROSTERD_INSPECT_CORE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/utf8.h"

enum { TEXT_TIME_SIZE = 32, TEXT_BYTES_SIZE = 24 };
/** U+FFFD in UTF-8. */
#define TEXT_REPLACEMENT_UTF8 "\xEF\xBF\xBD"

/**
 * Whether a character is printed as an escape: those of utf8_steers() (controls, line separators,
 * marks of direction, invisible characters), except the two joiners U+200C and U+200D, which names
 * in Persian or Hindi and emoji need.
 */
static inline bool text_is_escaped(uint32_t code)
{
    return utf8_steers(code) && code != 0x200c && code != 0x200d;
}

/**
 * Prints bytes on one line. The backslash and the characters of text_is_escaped() are escaped:
 * `\\`, `\n`, `\x1b`, `\u202e`. Ill-formed UTF-8 is replaced by U+FFFD.
 */
void text_print(FILE *out, const void *bytes, size_t len);

/** Formats seconds since the epoch as RFC 3339 in UTC, for example 2026-01-31T23:59:59Z; outside
 * the years 0 to 9999 as the plain number. */
void text_format_time(char text[TEXT_TIME_SIZE], int64_t seconds);
/** Formats nanoseconds since the epoch in the same way, with as many digits of a fraction as are
 * needed: none, three, six or nine (as protobuf's JSON has times). */
void text_format_nanoseconds(char text[TEXT_TIME_SIZE], int64_t nanoseconds);
/** Formats a number of bytes for people: "512 B", "1.5 MiB". @return `text` */
const char *text_format_bytes(char text[TEXT_BYTES_SIZE], uint64_t bytes);

#endif
