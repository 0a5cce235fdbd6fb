/* SPDX-License-Identifier: MIT */
/*
 * Filters over users: a subset of the language of AIP-160 (google.aip.dev/160), which
 * docs/directory-filter.md describes. A filter is parsed once, into a block of memory without
 * pointers; matching a user reads the user's two parts in place, no further than the filter needs,
 * and allocates nothing.
 *
 * A filter never changes once it is made: any number of threads may match with it.
 */
#ifndef ROSTERD_USER_FILTER_FILTER_H
#define ROSTERD_USER_FILTER_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "user/user.h"

/* Bounds of a filter. They bound the work for a user, and the recursion of the parser (AIP-160,
 * Limitations). */
enum {
    FILTER_TEXT_MAX = 4096, /* bytes */
    FILTER_TERMS_MAX = 64,  /* tests of a field */
    FILTER_DEPTH_MAX = 16,  /* brackets inside of each other */
};

enum filter_result {
    FILTER_OK,
    FILTER_WRONG,     /* the text is no filter: the client's mistake */
    FILTER_NO_MEMORY, /* for the program */
};

struct filter;

/**
 * Parses a filter. An empty text, or one of spaces only, is the filter that each user matches.
 * @param text from outside; it may contain anything and is not needed afterwards
 * @param filter set to a block that the caller frees by free(); NULL unless FILTER_OK
 * @param fault where the result is not FILTER_OK: what is wrong, and at which position (bytes,
 *   from 1). It may quote a piece of the text, without control characters
 */
enum filter_result filter_parse(struct filter **filter, const char *text, size_t len,
                                struct fault *fault);

/**
 * Whether a user matches. Takes 20 to 50 ns mostly, and 16 µs with all tests that a filter may have
 * and a user with all roles and labels: a scan looks at the clock often enough for that.
 * @param body,hidden as the store has them (user/user_record.h). They may be damaged: nothing
 * outside of them is read, and what cannot be read counts as absent. `hidden` may be NULL if
 * hidden_len is 0
 */
bool filter_match(const struct filter *filter, const uint8_t *body, uint32_t body_len,
                  const uint8_t *hidden, uint32_t hidden_len);

/**
 * Whether a unique key answers the filter: it is a conjunction, one of whose tests is
 * `username = TEXT` or `email = TEXT` without an asterisk. At most one user matches, and it is the
 * one with this key; it still has to be matched.
 * @param key the key's number
 * @param text the key as user_key_of() makes it; it lies in the filter
 * @return false: every user may match
 */
bool filter_key(const struct filter *filter, enum user_key *key, struct user_text *text);

#endif
