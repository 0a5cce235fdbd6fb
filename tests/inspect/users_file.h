/* SPDX-License-Identifier: MIT */
/* Files of users as JSON lines, for the tests of dump and load. */
#ifndef ROSTERD_TESTS_INSPECT_USERS_FILE_H
#define ROSTERD_TESTS_INSPECT_USERS_FILE_H

#include <stddef.h>
#include <stdio.h>

#include "shm/store.h"
#include "user/user.h"

enum { FILE_LINE_SIZE = 256 };

/** The path of this test program's file. */
const char *file_path(void);
/** Removes the file, and the temporary file of a dump beside it. */
void file_remove(void);
void file_write(const char *text);
/** The file's contents, terminated by a NUL; the caller frees them. NULL if there is no file. */
char *file_read(const char *path);

/** Writes user number i as a line; every field depends on i. @return the line's length */
size_t line_of(char line[FILE_LINE_SIZE], unsigned i);
/** Writes the users [from, to) as lines. */
void lines_of(FILE *out, unsigned from, unsigned to);
void file_write_users(unsigned from, unsigned to);
/** User number i as the store holds it. @return the body's length */
size_t user_of(uint8_t id[UUID_SIZE], uint8_t body[USER_BODY_MAX], unsigned i);

/** Runs dump and returns its lines without header and trailer, each with the five fields of format
 * 1 only, as line_of() has them; the caller frees them. */
char *dumped_users(void);
/** Asserts that the table contains exactly the users [0, count), in that order. */
void assert_table_has(unsigned count);

#endif
