/* SPDX-License-Identifier: MIT */
/* A user's etag (AIP-154): the number of the commit that wrote the user, as hexadecimal text in
 * quotes. It is strong in the sense of RFC 9110 8.8.1. */
#ifndef ROSTERD_USER_ETAG_H
#define ROSTERD_USER_ETAG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { USER_ETAG_SIZE = 18 }; /* at most: two quotes and 16 digits */

/** Writes an etag without a NUL. @return its length */
size_t user_etag_format(char text[USER_ETAG_SIZE], uint64_t version);
/** @return false: the text is no etag of a user */
bool user_etag_parse(const uint8_t *text, size_t len, uint64_t *version);

#endif
