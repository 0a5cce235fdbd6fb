/* SPDX-License-Identifier: MIT */
/* Prints one user, as list and get show it. */
#ifndef ROSTERD_INSPECT_CORE_SHOW_H
#define ROSTERD_INSPECT_CORE_SHOW_H

#include <stdbool.h>

#include "shm/careful.h"
#include "user/user_record.h"

/** A user that has been decoded. Its texts point into the record. */
struct show_user {
    const struct shm_record *record;
    struct user_record user;
    struct user_record_room room;
};
/** @return false if one of its two parts is not its message */
bool show_user_read(struct show_user *user, const struct shm_record *record);

/** Prints a user to stdout; never its secret. */
typedef void show_printer(const struct show_user *user);
void show_user_json(const struct show_user *user); /* {"id":...,"username":...,...} on a line */
void show_user_line(const struct show_user *user); /* one line, columns separated by tabs */
/** The same for people: a line with the names of the columns comes before the first user. */
void show_user_row(const struct show_user *user);
void show_user_block(const struct show_user *user); /* one line per field */

#endif
