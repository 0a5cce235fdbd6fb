/* SPDX-License-Identifier: MIT */
/*
 * How a person names a user on the command line: by the id, a UUID, also as users/UUID; by
 * username:NAME; or by email:ADDRESS. A word without a prefix is never a user name, so no user can
 * be named like another one's id. Where the server keeps no names unique, several users may have
 * one name: a command that changes users refuses such a name.
 */
#ifndef ROSTERD_INSPECT_CORE_USER_OPERAND_H
#define ROSTERD_INSPECT_CORE_USER_OPERAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inspect/core/report.h"
#include "inspect/core/table_writer.h"
#include "user/user.h"

struct user_operand {
    const char *typed; /* for messages */
    bool by_key;
    uint8_t id[UUID_SIZE]; /* unless by_key */
    unsigned key;          /* enum user_key */
    uint32_t len;
    uint8_t value[USER_KEY_MAX]; /* as user_key_of() gives it */
};

/** Reads a word. @return INSPECT_DONE, or the exit status of a failure that has been reported */
enum inspect_exit user_operand_parse(struct user_operand *operand, const char *typed);
/**
 * Reads all words of a command, at least one.
 * @param operands the caller frees them, after INSPECT_DONE
 * @return as user_operand_parse()
 */
enum inspect_exit user_operand_parse_all(char *const *words, struct user_operand **operands,
                                         size_t *count);
/** Makes an operand of a key's text. @param typed for messages @return as user_operand_parse() */
enum inspect_exit user_operand_of_key(struct user_operand *operand, unsigned key, const char *text,
                                      const char *typed);
/** Whether a user with this id and body is meant. */
bool user_operand_matches(const struct user_operand *operand, const uint8_t id[UUID_SIZE],
                          const uint8_t *body, uint32_t body_len);

/** Reports that the user does not exist. @return INSPECT_FAILED */
enum inspect_exit user_operand_fail(const struct user_operand *operand, const char *segment);
/**
 * Finds the one user that is meant, as of the newest commit.
 * @param id set to the user's
 * @return INSPECT_DONE, or the exit status of a failure that has been reported: there is no such
 *   user, or there are several
 */
enum inspect_exit user_operand_resolve(const struct user_operand *operand,
                                       struct table_writer *writer, uint8_t id[UUID_SIZE]);

#endif
