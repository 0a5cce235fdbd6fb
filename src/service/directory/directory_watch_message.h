/* SPDX-License-Identifier: MIT */
/*
 * Directory.WatchUsers on the wire: its messages, made in one pass as those of directory_user.h,
 * and its resume tokens.
 *
 * A token names a place in the change feed: the last commit whose changes the client has been told,
 * and, inside a commit of several changes, how many of them. It belongs to a table: the first half
 * of the store's id, which stays the same over restarts and reboots. The token also has the
 * greatest sequence number of the users that the client knows: the changes since then, as they are
 * made again from the table after a reboot, do not say who was created. A token that was given
 * among such changes says so: of later users the client knows those whom it has been told already.
 * A token that was given when the watch was late says of which new users the client knows later
 * changes already (directory_late.h). Both make it longer.
 */
#ifndef ROSTERD_SERVICE_DIRECTORY_DIRECTORY_WATCH_MESSAGE_H
#define ROSTERD_SERVICE_DIRECTORY_DIRECTORY_WATCH_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/rosterd/directory/v1/directory.pb-c.h"
#include "service/directory/directory_late.h"
#include "service/directory/directory_user.h"
#include "service/users/sealed_text.h"
#include "shm/store.h"

#define DIRECTORY_WATCH_TYPE(name) ROSTERD__DIRECTORY__V1__WATCH_USERS_RESPONSE__TYPE__##name

enum {
    DIRECTORY_TABLE_SIZE = SHM_STORE_ID_SIZE / 2,
    DIRECTORY_RESUME_LATE = 32,               /* ranges of a token */
    DIRECTORY_RESUME_SIZE = SEALED_TEXT_SIZE, /* characters of one without */
    DIRECTORY_RESUME_MAX = SEALED_TEXT_MAX,
    /* A message's most bytes: the type, the user, the token. */
    DIRECTORY_WATCH_MESSAGE_MAX = 2 + (3 + DIRECTORY_USER_MAX) + (3 + DIRECTORY_RESUME_MAX),
};

struct directory_resume {
    uint8_t table[DIRECTORY_TABLE_SIZE];
    uint64_t version;
    uint16_t done; /* so many changes of that commit are told; 0: all are */
    uint64_t known_seq;
    /* Not 0: it was given among the changes made again up to this commit, and of the users with
     * greater numbers the client knows some. */
    uint64_t among;
    bool creates; /* those changes are creations */
    unsigned late_count;
    struct directory_late_range late[DIRECTORY_RESUME_LATE];
};
/** @return characters */
size_t directory_resume_format(char text[DIRECTORY_RESUME_MAX],
                               const struct directory_resume *resume);
/** @return false: the text is no token */
bool directory_resume_parse(struct directory_resume *resume, const ProtobufCBinaryData *text);

/*
 * A message is written in parts: first the type, then a user or a name or neither, then the token
 * or none. Each function returns where the next part goes. The type can be changed afterwards, and
 * the token is what the message ends with.
 */
uint8_t *directory_watch_put_type(uint8_t *out, unsigned type);
void directory_watch_set_type(uint8_t *message, unsigned type);
uint8_t *directory_watch_put_user(uint8_t *out, const struct shm_user *user, unsigned fields);
uint8_t *directory_watch_put_name(uint8_t *out, const uint8_t id[UUID_SIZE]);
uint8_t *directory_watch_put_token(uint8_t *out, const struct directory_resume *resume);

#endif
