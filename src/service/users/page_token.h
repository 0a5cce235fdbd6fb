/* SPDX-License-Identifier: MIT */
/*
 * ListUsers' page token: the last user of a page, {sequence number, id}, as
 * printable text that clients hand back unread. A check in it tells a
 * mistyped or cut token from one of ours; it is no secret and no signature.
 */
#ifndef ROSTERD_SERVICE_USERS_PAGE_TOKEN_H
#define ROSTERD_SERVICE_USERS_PAGE_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "user/uuid.h"

enum { PAGE_TOKEN_SIZE = 40 }; /* characters, without a NUL */

void page_token_format(char text[PAGE_TOKEN_SIZE], uint64_t seq, const uint8_t id[UUID_SIZE]);
/** @return false where the text is no token; then seq and id are undefined */
bool page_token_parse(const uint8_t *text, size_t len, uint64_t *seq, uint8_t id[UUID_SIZE]);

#endif
