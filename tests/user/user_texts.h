/* SPDX-License-Identifier: MIT */
/* Short names for texts, and users as the store has them, for the tests of this folder. */
#ifndef ROSTERD_TESTS_USER_USER_TEXTS_H
#define ROSTERD_TESTS_USER_USER_TEXTS_H

#include <string.h>

#include "user/user_record.h"

#define TEXT(literal)                                                                              \
    {                                                                                              \
        .data = (const uint8_t *)(literal), .len = sizeof(literal) - 1                             \
    }

/** A text that belongs to the caller. */
static inline struct user_text text_of_string(const char *string)
{
    return (struct user_text){.data = (const uint8_t *)string, .len = strlen(string)};
}

/** A user's two parts. */
struct stored_user {
    uint8_t body[USER_BODY_MAX], hidden[USER_HIDDEN_MAX];
    uint32_t body_len, hidden_len;
};

static inline void store_user(struct stored_user *user, const struct user_record *record)
{
    user->body_len = (uint32_t)user_body_encode(user->body, &record->fields);
    user->hidden_len = (uint32_t)user_hidden_encode(user->hidden, record);
}

#endif
