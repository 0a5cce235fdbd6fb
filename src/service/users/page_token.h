/* SPDX-License-Identifier: MIT */
/*
 * The page token of ListUsers: sequence number and id of a page's last user, as sealed_text.h
 * has them.
 */
#ifndef ROSTERD_SERVICE_USERS_PAGE_TOKEN_H
#define ROSTERD_SERVICE_USERS_PAGE_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "service/users/sealed_text.h"
#include "user/uuid.h"

enum { PAGE_TOKEN_SIZE = SEALED_TEXT_SIZE }; /* characters; there is no NUL */

void page_token_format(char text[PAGE_TOKEN_SIZE], uint64_t seq, const uint8_t id[UUID_SIZE]);
/** @return false: the text is no token; seq and id are undefined */
bool page_token_parse(const uint8_t *text, size_t len, uint64_t *seq, uint8_t id[UUID_SIZE]);

#endif
