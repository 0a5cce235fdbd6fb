/* SPDX-License-Identifier: MIT */
#include "inspect/commands/edit_commands.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#include "base/utf8.h"
#include "inspect/core/durable_wait.h"
#include "inspect/core/memory.h"
#include "inspect/core/object.h"
#include "inspect/core/table_writer.h"
#include "inspect/core/text.h"
#include "user/user.h"

static enum inspect_exit edit_fail_id(const char *id)
{
    return report_fail(INSPECT_FAILED, "no user %s: an id is a UUID", id);
}

static enum inspect_exit edit_fail_missing(const struct table_writer *writer,
                                           const uint8_t id[UUID_SIZE])
{
    char text[UUID_TEXT_SIZE + 1];
    uuid_to_string(text, id);
    return report_fail(INSPECT_FAILED, "no user %s in %s", text, writer->segment);
}

/* ---- delete ---- */

typedef uint8_t binary_id[SHM_ID_SIZE];

static int compare_ids(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(binary_id));
}

/* Returns the ids sorted and without duplicates; the caller frees them. NULL if an operand is not
 * an id; that has been reported. */
static binary_id *parse_ids(char *const *operands, size_t *count)
{
    size_t given = 0;
    while (operands[given] != NULL)
        given++;
    binary_id *ids = memory_new_array(given + 1, sizeof(*ids));
    for (size_t i = 0; i < given; i++) {
        if (!uuid_from_string(ids[i], operands[i])) {
            edit_fail_id(operands[i]);
            free(ids);
            return NULL;
        }
    }
    qsort(ids, given, sizeof(*ids), compare_ids);
    *count = 0;
    for (size_t i = 0; i < given; i++)
        if (i == 0 || memcmp(ids[i], ids[*count - 1], sizeof(*ids)) != 0)
            memmove(ids[(*count)++], ids[i], sizeof(*ids));
    return ids;
}

/* Reports each user that does not exist; returns INSPECT_FAILED if there is one. */
static enum inspect_exit check_users_exist(struct table_writer *writer, binary_id *ids,
                                           size_t count)
{
    enum inspect_exit code = INSPECT_DONE;
    struct shm_user user;
    for (size_t i = 0; i < count; i++)
        if (table_writer_find(writer, ids[i], &user) != SHM_OK)
            code = edit_fail_missing(writer, ids[i]);
    shm_actor_offline(writer->actor);
    return code;
}

/* *done is the number of users that have been deleted, also after a failure. */
static enum inspect_exit delete_ids(struct table_writer *writer, binary_id *ids, size_t count,
                                    size_t *done)
{
    struct shm_conflict conflict;
    for (*done = 0; *done < count;) {
        size_t n = MIN(count - *done, (size_t)SHM_BATCH_MAX);
        int error = table_writer_delete(writer, (const binary_id *)&ids[*done], n, &conflict);
        if (error == SHM_ENOENT) /* another process has deleted it since check_users_exist() */
            return edit_fail_missing(writer, ids[*done + conflict.which]);
        if (error != SHM_OK)
            return table_writer_fail(writer, error);
        *done += n;
    }
    return INSPECT_DONE;
}

static void print_deleted(const struct inspect_options *options, binary_id *ids, size_t count)
{
    char text[UUID_TEXT_SIZE + 1];
    if (!options->json) {
        for (size_t i = 0; i < count; i++) {
            uuid_to_string(text, ids[i]);
            printf("%s is deleted\n", text);
        }
        return;
    }
    struct json_object *object = object_new();
    struct json_object *deleted = object_new_array();
    for (size_t i = 0; i < count; i++) {
        uuid_to_string(text, ids[i]);
        object_append(deleted, object_new_text(text, UUID_TEXT_SIZE));
    }
    object_add(object, "deleted", deleted);
    object_print(stdout, object);
}

enum inspect_exit command_delete(const struct inspect_options *options)
{
    struct table_writer writer;
    size_t count, done = 0;
    binary_id *ids = parse_ids(options->all_operands, &count);
    if (ids == NULL)
        return INSPECT_FAILED;
    enum inspect_exit code = table_writer_open(&writer, options);
    if (code == INSPECT_DONE) {
        code = check_users_exist(&writer, ids, count);
        if (code == INSPECT_DONE) {
            code = delete_ids(&writer, ids, count, &done);
            enum inspect_exit durable = durable_wait(&writer);
            if (durable == INSPECT_DONE)
                print_deleted(options, ids, done);
            else
                code = durable;
        }
        table_writer_close(&writer);
    }
    free(ids);
    return code;
}

/* ---- set-roles ---- */

struct role_change {
    const struct inspect_options *options;
    struct table_writer writer;
    uint8_t id[UUID_SIZE];
    struct user_text roles[USER_ROLES_MAX], old_roles[USER_ROLES_MAX];
    size_t num_roles, num_old_roles;
    uint8_t old_body[SHM_BODY_MAX];
};

static enum inspect_exit edit_fail_role(struct user_text role, const char *reason)
{
    return report_fail(INSPECT_USAGE, "set-roles: role \"%.*s\": %s", (int)role.len,
                       (const char *)role.data, reason);
}

static enum inspect_exit parse_role(struct role_change *change, struct user_text role)
{
    struct user_fields fields = {.roles = &role, .num_roles = 1};
    if (!utf8_valid(role.data, role.len))
        return edit_fail_role(role, "it is not UTF-8");
    const char *reason;
    if (!user_check_roles(&fields, &reason))
        return edit_fail_role(role, reason);
    if (change->num_roles == USER_ROLES_MAX)
        return report_fail(INSPECT_USAGE, "set-roles: there are more than %d roles",
                           USER_ROLES_MAX);
    change->roles[change->num_roles++] = role;
    fields = (struct user_fields){.roles = change->roles, .num_roles = change->num_roles};
    return user_check_roles(&fields, &reason) ? INSPECT_DONE : edit_fail_role(role, reason);
}

static enum inspect_exit parse_roles(struct role_change *change, const char *list)
{
    if (*list == '\0')
        return INSPECT_DONE; /* no roles */
    for (;;) {
        size_t len = strcspn(list, ",");
        enum inspect_exit code =
            parse_role(change, (struct user_text){.data = (const uint8_t *)list, .len = len});
        if (code != INSPECT_DONE || list[len] == '\0')
            return code;
        list += len + 1;
    }
}

/* Encodes the user with the new roles; user name, e-mail and time of creation stay as they are. */
static enum inspect_exit encode_with_roles(struct role_change *change, const struct shm_user *user,
                                           uint8_t body[2 * SHM_BODY_MAX], uint32_t *len)
{
    struct user_fields fields;
    bool good = user->body_len <= sizeof(change->old_body);
    if (good) {
        memcpy(change->old_body, user->body, user->body_len);
        good = user_body_decode(&fields, change->old_roles, change->old_body, user->body_len) &&
               fields.username.len != 0;
    }
    if (!good)
        return report_fail(INSPECT_BAD_SEGMENT,
                           "user %s: its body is not a User message (see: verify)",
                           change->options->operands[0]);
    change->num_old_roles = fields.num_roles;
    fields.roles = change->roles;
    fields.num_roles = change->num_roles;
    *len = (uint32_t)user_body_encode(body, &fields);
    assert(*len <= 2 * SHM_BODY_MAX);
    return INSPECT_DONE;
}

static enum inspect_exit write_roles(struct role_change *change)
{
    struct table_writer *writer = &change->writer;
    uint8_t body[2 * SHM_BODY_MAX];
    struct shm_new_user new_user = {.body = body};
    struct shm_user user;
    struct shm_conflict conflict;
    if (table_writer_find(writer, change->id, &user) != SHM_OK)
        return edit_fail_missing(writer, change->id);
    enum inspect_exit code = encode_with_roles(change, &user, body, &new_user.body_len);
    if (code != INSPECT_DONE)
        return code;
    memcpy(new_user.id, change->id, sizeof(new_user.id));
    int error = table_writer_update(writer, &new_user, 1, &conflict);
    if (error == SHM_ENOENT)
        return edit_fail_missing(writer, change->id);
    return error == SHM_OK ? INSPECT_DONE : table_writer_fail(writer, error);
}

static void print_roles_text(const struct user_text *roles, size_t count)
{
    if (count == 0)
        fputs("(none)", stdout);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            putchar(',');
        text_print(stdout, roles[i].data, roles[i].len);
    }
}

static struct json_object *roles_array(const struct user_text *roles, size_t count)
{
    struct json_object *list = object_new_array();
    for (size_t i = 0; i < count; i++)
        object_append(list, object_new_text(roles[i].data, roles[i].len));
    return list;
}

static void print_role_change(const struct role_change *change)
{
    char id[UUID_TEXT_SIZE + 1];
    uuid_to_string(id, change->id);
    if (!change->options->json) {
        printf("%s: ", id);
        print_roles_text(change->roles, change->num_roles);
        fputs(", was: ", stdout);
        print_roles_text(change->old_roles, change->num_old_roles);
        putchar('\n');
        return;
    }
    struct json_object *object = object_new();
    object_add_string(object, "id", id);
    object_add(object, "roles", roles_array(change->roles, change->num_roles));
    object_add(object, "old_roles", roles_array(change->old_roles, change->num_old_roles));
    object_print(stdout, object);
}

enum inspect_exit command_set_roles(const struct inspect_options *options)
{
    struct role_change change = {.options = options};
    enum inspect_exit code = parse_roles(&change, options->operands[1]);
    if (code != INSPECT_DONE)
        return code;
    if (!uuid_from_string(change.id, options->operands[0]))
        return edit_fail_id(options->operands[0]);
    code = table_writer_open(&change.writer, options);
    if (code != INSPECT_DONE)
        return code;
    code = write_roles(&change);
    if (code == INSPECT_DONE)
        code = durable_wait(&change.writer);
    if (code == INSPECT_DONE)
        print_role_change(&change);
    table_writer_close(&change.writer);
    return code;
}
