/* SPDX-License-Identifier: MIT */
/* Suggestions for misspelt words. */
#ifndef ROSTERD_BASE_SPELLING_H
#define ROSTERD_BASE_SPELLING_H

#include <stddef.h>

enum { SPELLING_MAX = 40 }; /* bytes of the longest known word */

/**
 * Finds the known word with the least edit distance to `word`, which must not exceed a third of
 * `word`'s length, plus one.
 * @param count the number of known words @param word_at returns the known word with this index, of
 * at most SPELLING_MAX bytes
 * @return the index of the word; `count`: none is similar
 */
size_t spelling_nearest(const char *word, size_t count, const char *(*word_at)(size_t index));

#endif
