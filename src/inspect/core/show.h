/* SPDX-License-Identifier: MIT */
/* Prints one user, as list and get show it. */
#ifndef ROSTERD_INSPECT_CORE_SHOW_H
#define ROSTERD_INSPECT_CORE_SHOW_H

#include <stdbool.h>

#include "shm/careful.h"
#include "user/user.h"

/** A user whose body has been decoded. Its texts point into the record. */
struct show_user {
    const struct shm_record *record;
    struct user_fields fields;
    struct user_text roles[USER_ROLES_MAX];
};
/** @return false if the body is not a User message */
bool show_user_read(struct show_user *user, const struct shm_record *record);

/** Prints a user to stdout. */
typedef void show_printer(const struct show_user *user);
void show_user_json(const struct show_user *user);  /* {"id":...,"username":...,...} on a line */
void show_user_line(const struct show_user *user);  /* one line, columns separated by tabs */
void show_user_block(const struct show_user *user); /* one line per field */

#endif
