/* SPDX-License-Identifier: MIT */
/* UTF-8 as defined by RFC 3629: no overlong forms, no surrogates, nothing beyond U+10FFFF. */
#ifndef ROSTERD_BASE_UTF8_H
#define ROSTERD_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { UTF8_REPLACEMENT = 0xfffd }; /* stands for bytes that are not UTF-8 */

/** Whether the whole text is valid. Takes the same time per byte for any text that is not ASCII. */
bool utf8_valid(const uint8_t *text, size_t len);
/** Reads the character with which the text of `len` > 0 bytes begins.
 * @return the bytes of the character; 0: none begins here */
size_t utf8_next(const uint8_t *text, size_t len, uint32_t *code);
/** Like utf8_next(), for text that may contain anything. Where no character begins, *code is
 * UTF8_REPLACEMENT, which stands for all bytes of the maximal subpart (Unicode 3.9, table 3-8).
 * @return the bytes read, 1 to 4 */
size_t utf8_next_lossy(const uint8_t *text, size_t len, uint32_t *code);
/** Whether a character controls how text is displayed: control characters, line separators, and
 * marks of direction. Such a character could make one line of a log look like another one, or like
 * two. */
bool utf8_steers(uint32_t code);
/** The length in bytes of the longest beginning of `text` that consists of whole characters and
 * fits into `max` bytes. @param text valid UTF-8 */
size_t utf8_cut(const char *text, size_t len, size_t max);

#endif
