/* SPDX-License-Identifier: MIT */
/*
 * Bytes from a segment on their way to a terminal or a JSON reader. Nothing
 * that a client stored may move a cursor, forge a line or break a parser.
 */
#ifndef ROSTERD_INSPECT_TEXT_H
#define ROSTERD_INSPECT_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <json-c/json.h>

enum { TEXT_TIME_SIZE = 32 };

/**
 * Takes one code point off the front of `len` (at least 1) bytes of UTF-8.
 * Ill-formed bytes become U+FFFD, one for each maximal subpart (Unicode 3.9, table 3-8).
 * @return the bytes used, 1 to 4
 */
size_t text_next(const uint8_t *bytes, size_t len, uint32_t *code);

/** Whether all of it is well-formed UTF-8. */
bool text_is_utf8(const void *bytes, size_t len);

/**
 * Prints bytes on one line: control characters, line separators, characters
 * that turn the direction of writing, and the backslash are escaped (`\n`,
 * `\x1b`, `\u202e`, `\\`), ill-formed UTF-8 is replaced.
 */
void text_print(FILE *out, const void *bytes, size_t len);

/** Prints a value and a newline; characters that text_print() escapes are `\uNNNN` here too. */
void text_print_json(FILE *out, struct json_object *value);

/** A JSON string of the bytes, ill-formed UTF-8 replaced; the caller's to put. */
struct json_object *text_json_string(const void *bytes, size_t len);

void text_json_number(struct json_object *object, const char *key, uint64_t value);

/** RFC 3339 in UTC, as 2026-01-31T23:59:59Z; outside of its years 0 to 9999 the plain number. */
void text_time_format(char text[TEXT_TIME_SIZE], int64_t seconds);

#endif
