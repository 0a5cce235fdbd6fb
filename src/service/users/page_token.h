/* SPDX-License-Identifier: MIT */
/*
 * The page token of ListUsers: sequence number and id of a page's last user, as sealed_text.h
 * has them. A token goes on with the filter of its page alone (AIP-158): with another one it would
 * leave out users that nobody has looked at.
 */
#ifndef ROSTERD_SERVICE_USERS_PAGE_TOKEN_H
#define ROSTERD_SERVICE_USERS_PAGE_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "service/users/sealed_text.h"
#include "user/uuid.h"

enum { PAGE_TOKEN_SIZE = SEALED_TEXT_SIZE }; /* characters; there is no NUL */

/** @param len 0: no filter
 * @return a number for the functions below; 0 without a filter */
uint64_t page_token_filter(const void *filter, size_t len);
/** @param filter of page_token_filter() */
void page_token_format(char text[PAGE_TOKEN_SIZE], uint64_t filter, uint64_t seq,
                       const uint8_t id[UUID_SIZE]);
/** @return false: the text is no token of a page with this filter; seq and id are undefined */
bool page_token_parse(const uint8_t *text, size_t len, uint64_t filter, uint64_t *seq,
                      uint8_t id[UUID_SIZE]);

#endif
