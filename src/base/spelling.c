/* SPDX-License-Identifier: MIT */
#include "base/spelling.h"

#include <string.h>
#include <sys/param.h>

/* The Levenshtein distance: how many characters must be inserted, deleted or replaced. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t row[SPELLING_MAX + 1], len = strlen(b);
    for (size_t j = 0; j <= len; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= len; j++) {
            size_t replace = diagonal + (a[i - 1] != b[j - 1]);
            size_t insert_or_delete = MIN(row[j], row[j - 1]) + 1;
            diagonal = row[j];
            row[j] = MIN(replace, insert_or_delete);
        }
    }
    return row[len];
}

size_t spelling_nearest(const char *word, size_t count, const char *(*word_at)(size_t index))
{
    size_t nearest = count, best = strlen(word) / 3 + 1;
    for (size_t i = 0; i < count && strlen(word) <= SPELLING_MAX; i++) {
        size_t far = edit_distance(word, word_at(i));
        if (far <= best && (nearest == count || far < best)) {
            nearest = i;
            best = far;
        }
    }
    return nearest;
}
