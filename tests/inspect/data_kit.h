/* SPDX-License-Identifier: MIT */
/* Data files for the tests of backup and restore, in a directory of their own. */
#ifndef ROSTERD_TESTS_INSPECT_DATA_KIT_H
#define ROSTERD_TESTS_INSPECT_DATA_KIT_H

#include <stdbool.h>
#include <stdint.h>

#include "journal/data_file.h"
#include "shm/store.h"

/** Makes the directory; a setup function of cmocka. @param state unused */
int kit_make(void **state);
/** Removes the directory with its files and the segment, also those that were moved aside. */
int kit_remove(void **state);
/** The path of a file in the directory, in one of eight static buffers. */
const char *kit_path(const char *name);
/** The files in the directory, sorted, each followed by a space. */
const char *kit_files(void);

/** The data file's name, kit_path("users.db"). */
const char *kit_data_file(void);
/** Writes a data file of `users` users whose version is `version`. Its store id is all of the byte
 * `store`. */
void kit_write(const char *path, uint8_t store, uint64_t users, uint64_t version);
/** Reads a data file and fails if it is damaged. */
struct data_meta kit_read(const char *path);
/** Adds a commit with one more user, which stays in the write-ahead log. */
void kit_commit(const char *path);
/** Changes a byte of a row in the middle of the file. */
void kit_damage(const char *path);
/** Makes a segment that has kit_data_file() and the store id of `store`, and inserts three users.
 * It is served until segment_close(). */
struct shm_store *kit_segment(uint8_t store);
/** The names of segments that were moved aside. @return their number */
unsigned kit_segments_aside(void);

#endif
