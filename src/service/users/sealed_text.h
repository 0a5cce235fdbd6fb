/* SPDX-License-Identifier: MIT */
/*
 * Small values as printable text that clients send back unread, such as page tokens. A checksum
 * tells a mistyped or truncated text, and one of another kind, from a real one. The text is no
 * secret and not signed.
 */
#ifndef ROSTERD_SERVICE_USERS_SEALED_TEXT_H
#define ROSTERD_SERVICE_USERS_SEALED_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SEALED_RAW_SIZE = 30,  /* bytes: the value, and the checksum in what it leaves */
    SEALED_TEXT_SIZE = 40, /* characters, safe in URLs, headers and shells; there is no NUL */
    SEALED_RAW_MAX = 1002, /* bytes of a longer one, which is a multiple of 3 */
    SEALED_TEXT_MAX = SEALED_RAW_MAX / 3 * 4,
};

/** The kinds of text, and the versions of their formats: seeds of the checksums. */
#define SEALED_PAGE_TOKEN  UINT64_C(0x726f7374657201)
#define SEALED_WATCH_TOKEN UINT64_C(0x726f7374657202)

/** @param raw the value, in its first `len` bytes; the others are overwritten
 * @param size bytes of raw, of which the checksum takes at most 8
 * @param text receives size / 3 * 4 characters */
void sealed_text_format(char *text, uint8_t *raw, size_t size, size_t len, uint64_t kind);
/** @param raw receives the value, in its first `len` bytes
 * @param size bytes of raw
 * @return false: the text is none of this kind and size; raw is undefined */
bool sealed_text_parse(uint8_t *raw, size_t size, size_t len, uint64_t kind, const uint8_t *text,
                       size_t text_len);

/** Writes a number to 8 bytes, the greatest first. */
void sealed_put_number(uint8_t *raw, uint64_t number);
uint64_t sealed_get_number(const uint8_t *raw);

#endif
