/* SPDX-License-Identifier: MIT */
/* Files of users as JSON lines, for dump and load. */
#ifndef ROSTERD_TESTS_INSPECT_USERS_FILE_H
#define ROSTERD_TESTS_INSPECT_USERS_FILE_H

#include <stddef.h>
#include <stdio.h>

#include "shm/store.h"
#include "user/user.h"

enum { FILE_LINE_SIZE = 256 };

/** This test program's file; it is gone, with what a dump may leave beside it, after
 * file_remove(). */
const char *file_path(void);
void file_remove(void);
void file_write(const char *text);
/** All of it, with a final NUL; the caller's to free. NULL where there is none. */
char *file_read(const char *path);

/** User number i as a line; every field of it depends on i. @return its length */
size_t line_of(char line[FILE_LINE_SIZE], unsigned i);
/** Users [from, to) as lines. */
void lines_of(FILE *out, unsigned from, unsigned to);
void file_write_users(unsigned from, unsigned to);
/** User number i as the store has it. @return the body's length */
size_t user_of(uint8_t id[UUID_SIZE], uint8_t body[USER_BODY_MAX], unsigned i);

/** A dump's lines of users, without its first and last; the caller's to free. */
char *dumped_users(void);
/** Asserts that the table has just the users [0, count), in that order. */
void assert_table_has(unsigned count);

#endif
