/* SPDX-License-Identifier: MIT */
/* UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing beyond U+10FFFF. */
#ifndef ROSTERD_BASE_UTF8_H
#define ROSTERD_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool utf8_valid(const uint8_t *text, size_t len);
/** The character that begins at `text`, of `len` > 0 bytes.
 * @return its bytes, 0: there is none */
size_t utf8_next(const uint8_t *text, size_t len, uint32_t *code);
/** Whether a character steers what shows the text: controls, separators of lines and marks of
 * direction, with which one line of a log would look like another one or like two. */
bool utf8_steers(uint32_t code);
/** The most whole characters of valid `text` that fit into `max` bytes, in bytes. */
size_t utf8_cut(const char *text, size_t len, size_t max);

#endif
