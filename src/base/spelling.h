/* SPDX-License-Identifier: MIT */
/* Which of the words that there are a misspelt one was most likely to be. */
#ifndef ROSTERD_BASE_SPELLING_H
#define ROSTERD_BASE_SPELLING_H

#include <stddef.h>

enum { SPELLING_MAX = 40 }; /* bytes of a word that is looked at */

/**
 * The word that differs least, where that is no more than a third of it.
 * @param word_at the word with this index, at most SPELLING_MAX bytes
 * @return its index; `count`: none is near
 */
size_t spelling_nearest(const char *word, size_t count, const char *(*word_at)(size_t index));

#endif
