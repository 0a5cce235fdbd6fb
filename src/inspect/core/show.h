/* SPDX-License-Identifier: MIT */
/* One user, as the commands print it. */
#ifndef ROSTERD_INSPECT_SHOW_H
#define ROSTERD_INSPECT_SHOW_H

#include <stdbool.h>

#include <json-c/json.h>

#include "shm/careful.h"
#include "user/user.h"

/** A user whose body has been read; its texts lead into the record. */
struct show_user {
    const struct shm_record *record;
    struct user_fields fields;
    struct user_text roles[USER_ROLES_MAX];
};
/** @return false where the body is no User message */
bool show_user_read(struct show_user *user, const struct shm_record *record);

/** {"id":...,"username":...,...}; the caller's to put. */
struct json_object *show_user_object(const struct show_user *user);

/* Printers to stdout. */
typedef void show_printer(const struct show_user *user);
void show_user_json(const struct show_user *user);  /* the object on a line */
void show_user_line(const struct show_user *user);  /* columns parted by tabs */
void show_user_block(const struct show_user *user); /* a field a line */

#endif
