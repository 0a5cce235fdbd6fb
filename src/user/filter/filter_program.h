/* SPDX-License-Identifier: MIT */
/*
 * What a filter is parsed into: tests, each with the test that follows if it holds and the one that
 * follows if it does not. So a match executes only the tests that decide it, without a stack.
 */
#ifndef ROSTERD_USER_FILTER_FILTER_PROGRAM_H
#define ROSTERD_USER_FILTER_FILTER_PROGRAM_H

#include <stdbool.h>
#include <stdint.h>

#include "user/filter/filter.h"

enum filter_test {
    FILTER_TEST_USERNAME,     /* text */
    FILTER_TEST_EMAIL,        /* text; the domain in lower case */
    FILTER_TEST_ROLE,         /* text; of any role */
    FILTER_TEST_LABEL_KEY,    /* text; of any label's key */
    FILTER_TEST_LABEL,        /* key, text; of the value */
    FILTER_TEST_DISABLED,     /* is set */
    FILTER_TEST_HAS_PASSWORD, /* is set */
    FILTER_TEST_CREATE_TIME,  /* low, high */
    FILTER_TEST_UPDATE_TIME,  /* low, high */
};

/** What a text must be like: its place in the filter's texts. */
struct filter_text {
    uint16_t at, len;
    uint16_t exact; /* from here on the user's ASCII letters are compared in lower case */
    bool prefix;    /* the user's text may go on */
};

struct filter_term {
    uint8_t test;    /* enum filter_test */
    uint8_t yes, no; /* the index of the next term, FILTER_ACCEPT or FILTER_REJECT */
    bool unequal;    /* the test holds for other values; but never without the label */
    struct filter_text text, key;
    int64_t low, high; /* nanoseconds since the epoch, both included */
};

enum { FILTER_ACCEPT = 0xff, FILTER_REJECT = 0xfe, FILTER_NO_KEY = 0xff };

/** One block: the terms, and then the bytes of the texts. */
struct filter {
    uint8_t first; /* like filter_term.yes */
    uint8_t key;   /* the index of the term that filter_key() is about; FILTER_NO_KEY: none is */
    uint8_t num_terms;
    struct filter_term terms[];
};

static inline const uint8_t *filter_texts(const struct filter *filter)
{
    return (const uint8_t *)(filter->terms + filter->num_terms);
}

#endif
