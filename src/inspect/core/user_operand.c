/* SPDX-License-Identifier: MIT */
#include "inspect/core/user_operand.h"

#include <stdlib.h>
#include <string.h>

#include "inspect/core/guard.h"
#include "inspect/core/memory.h"
#include "shm/disk.h"

enum { REST_EVERY = 4096 }; /* users */

static const char *const prefixes[USER_KEYS] = {
    [USER_KEY_USERNAME] = "username:",
    [USER_KEY_EMAIL] = "email:",
};

enum inspect_exit user_operand_of_key(struct user_operand *operand, unsigned key, const char *text,
                                      const char *typed)
{
    static const size_t most[USER_KEYS] = {USER_USERNAME_MAX, USER_EMAIL_MAX};
    struct user_text value = {(const uint8_t *)text, strlen(text)};
    if (value.len > most[key])
        return report_fail(INSPECT_FAILED, "no %s is longer than %zu bytes", user_key_name(key),
                           most[key]);
    *operand = (struct user_operand){.typed = typed, .by_key = true, .key = key};
    operand->len = user_key_of_text(key, value, operand->value);
    return INSPECT_DONE;
}

enum inspect_exit user_operand_parse(struct user_operand *operand, const char *typed)
{
    static const char name[] = "users/"; /* as Directory's replies have it */
    bool is_name = strncmp(typed, name, strlen(name)) == 0;
    *operand = (struct user_operand){.typed = typed};
    if (uuid_from_string(operand->id, is_name ? typed + strlen(name) : typed))
        return INSPECT_DONE;
    for (unsigned key = 0; key < USER_KEYS; key++) {
        size_t len = strlen(prefixes[key]);
        if (strncmp(typed, prefixes[key], len) == 0 && typed[len] != '\0')
            return user_operand_of_key(operand, key, typed + len, typed);
    }
    return report_fail(INSPECT_FAILED,
                       "no user %s: a user is an id (a UUID), username:NAME or email:ADDRESS",
                       typed);
}

enum inspect_exit user_operand_parse_all(char *const *words, struct user_operand **operands,
                                         size_t *count)
{
    size_t given = 0;
    while (words[given] != NULL)
        given++;
    struct user_operand *all = memory_new_array(given, sizeof(*all));
    enum inspect_exit code = INSPECT_DONE;
    for (size_t i = 0; i < given && code == INSPECT_DONE; i++)
        code = user_operand_parse(&all[i], words[i]);
    if (code != INSPECT_DONE) {
        free(all);
        return code;
    }
    *operands = all;
    *count = given;
    return INSPECT_DONE;
}

bool user_operand_matches(const struct user_operand *operand, const uint8_t id[UUID_SIZE],
                          const uint8_t *body, uint32_t body_len)
{
    uint8_t value[USER_KEY_MAX];
    if (!operand->by_key)
        return memcmp(operand->id, id, UUID_SIZE) == 0;
    return operand->len != 0 && user_key_of(operand->key, body, body_len, value) == operand->len &&
           memcmp(value, operand->value, operand->len) == 0;
}

enum inspect_exit user_operand_fail(const struct user_operand *operand, const char *segment)
{
    return report_fail(INSPECT_FAILED, "no user %s in %s", operand->typed, segment);
}

/* Without an index of the key. Counts the users that have it, up to two.
 * @param id set to the last of them */
static int scan_for_key(const struct user_operand *operand, struct table_writer *writer,
                        uint8_t id[UUID_SIZE], unsigned *found)
{
    struct shm_snapshot snapshot;
    struct shm_cursor cursor;
    struct shm_user user;
    int error = shm_snapshot_begin_newest(writer->actor, &snapshot);
    if (error != SHM_OK)
        return error;
    shm_cursor_first(&cursor, writer->actor, &snapshot);
    for (uint64_t seen = 1; *found < 2; seen++) {
        error = shm_cursor_next(&cursor, &user);
        if (error == SHM_OK && user_operand_matches(operand, user.id, user.body, user.body_len)) {
            memcpy(id, user.id, UUID_SIZE);
            ++*found;
        }
        if (error != SHM_OK && error != SHM_EMORE)
            break;
        if (seen % REST_EVERY != 0 && error == SHM_OK)
            continue;
        shm_actor_offline(writer->actor);
        guard_progress();
    }
    shm_snapshot_end(writer->actor, &snapshot);
    return error == SHM_ENOENT || error == SHM_EMORE ? SHM_OK : error;
}

enum inspect_exit user_operand_resolve(const struct user_operand *operand,
                                       struct table_writer *writer, uint8_t id[UUID_SIZE])
{
    struct shm_user user;
    unsigned found = 0;
    int error = operand->by_key ? table_writer_find_key(writer, operand->key, operand->value,
                                                        operand->len, &user)
                                : table_writer_find(writer, operand->id, &user);
    if (error == SHM_OK)
        memcpy(id, user.id, UUID_SIZE);
    if (error == SHM_EINVAL && operand->len != 0) {
        error = scan_for_key(operand, writer, id, &found);
        if (error == SHM_OK && found == 0)
            error = SHM_ENOENT;
    }
    shm_actor_offline(writer->actor);
    if (error == SHM_ENOENT || error == SHM_EINVAL)
        return user_operand_fail(operand, writer->segment);
    if (error != SHM_OK)
        return table_writer_fail(writer, error);
    if (found > 1)
        return report_fail(INSPECT_FAILED,
                           "several users in %s are %s: name one by its id (see: find)",
                           writer->segment, operand->typed);
    return INSPECT_DONE;
}
