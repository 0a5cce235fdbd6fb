/* SPDX-License-Identifier: MIT */
/*
 * Writes that follow each other in a file, held back so that they become one. SQLite writes each
 * page of a commit to its log in two parts, and a system call costs more than the copy.
 */
#ifndef ROSTERD_JOURNAL_DATA_HELD_H
#define ROSTERD_JOURNAL_DATA_HELD_H

#include <stdbool.h>
#include <stdint.h>

enum { DATA_HELD_MAX = 128 << 10 }; /* bytes: 30 pages; larger commits need several writes */

/** Zeroed: nothing is held. */
struct data_held {
    uint8_t *bytes; /* room for DATA_HELD_MAX, or NULL */
    int len;
    int64_t offset; /* of the first byte in the file */
};

/** @return false: nothing was taken, for it does not follow what is held, or there is no room */
bool data_held_take(struct data_held *held, const void *data, int len, int64_t offset);
/** Frees the room. What is held is lost. */
void data_held_drop(struct data_held *held);

#endif
