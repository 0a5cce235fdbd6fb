/* SPDX-License-Identifier: MIT */
/* A restriction, as AIP-160 calls it: the test of one field, for example `username = "ab*"`. */
#ifndef ROSTERD_USER_FILTER_FILTER_RESTRICTION_H
#define ROSTERD_USER_FILTER_FILTER_RESTRICTION_H

#include <stdbool.h>

#include "user/filter/filter_lexer.h"
#include "user/filter/filter_program.h"

/** Reads the restriction that follows. Sets all of the term but `yes` and `no`; its texts lie in
 * the lexer. @return false, with a fault: none is there, or it is wrong */
bool filter_take_restriction(struct filter_lexer *lexer, struct filter_term *term);

#endif
