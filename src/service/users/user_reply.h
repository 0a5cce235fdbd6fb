/* SPDX-License-Identifier: MIT */
/* What the calls of UserService send to clients: users, and the texts of errors. */
#ifndef ROSTERD_SERVICE_USERS_USER_REPLY_H
#define ROSTERD_SERVICE_USERS_USER_REPLY_H

#include <stddef.h>
#include <stdint.h>

#include "grpc/grpc.h"
#include "service/users/user_service_state.h"

enum {
    USER_SHOWN_MAX = 128,                 /* bytes of a client's text that a status text quotes */
    USER_SHOWN_SIZE = USER_SHOWN_MAX + 3, /* with "..." */
    USER_TAKEN_SIZE = USER_SHOWN_SIZE + 32,
};

/** Sends one user: the id, and the body as the store has it. */
void user_reply(struct grpc_call *call, const uint8_t *id, const uint8_t *body, size_t body_len);

/** Ends the call with a google.rpc.BadRequest that has one field violation. The first word of the
 * text, with or without a colon, is the name of the request's field. */
void user_refuse(struct grpc_call *call, enum grpc_status status, const char *text);
/** The same with the path of the field in the request, which the text need not begin with. */
void user_refuse_field(struct grpc_call *call, enum grpc_status status, const char *field,
                       size_t field_len, const char *text);

/** The status and text for a result of shm_users_insert() other than SHM_EKEY. Called once for
 * each write that has failed, because a refusal for want of room is counted.
 * @param text a string that lives as long as the service, or NULL for GRPC_OK */
enum grpc_status user_insert_status(const struct user_service *service, int error,
                                    const char **text);

/**
 * Copies a client's text for a status text: at most USER_SHOWN_MAX bytes, cut between two
 * characters and followed by "..." if it was longer. A status text is a C string, so U+0000
 * becomes '?'.
 * @param text valid UTF-8
 * @param out USER_SHOWN_SIZE bytes; not terminated
 * @return the end of what was written
 */
char *user_show(char *out, const uint8_t *text, size_t len);
/** As user_show(), for texts that no contract wants back as they came: all control characters
 * become '?', so that a message cannot steer the terminal that shows it. */
char *user_show_plain(char *out, const uint8_t *text, size_t len);

typedef char *user_shower(char *out, const uint8_t *text, size_t len);
/** Writes the status message for SHM_EKEY: "username 'ann' is taken".
 * @param show user_show or user_show_plain */
void user_taken_text(char text[USER_TAKEN_SIZE], const struct shm_new_user *user, unsigned key,
                     user_shower *show);

#endif
