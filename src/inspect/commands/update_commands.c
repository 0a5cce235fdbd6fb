/* SPDX-License-Identifier: MIT */
#include "inspect/commands/update_commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inspect/commands/edit.h"
#include "inspect/commands/typed_fields.h"
#include "inspect/core/durable_wait.h"
#include "inspect/core/memory.h"
#include "inspect/core/object.h"
#include "inspect/core/show.h"
#include "inspect/core/table_writer.h"
#include "inspect/core/text.h"
#include "inspect/core/user_operand.h"
#include "user/etag.h"

/* ---- set-roles ---- */

static void replace_roles(struct user_record *record, const struct typed_roles *list)
{
    record->fields.roles = list->roles;
    record->fields.num_roles = list->count;
}

struct role_change {
    struct typed_roles list;
    struct user_text old_roles[USER_ROLES_MAX]; /* in old_bytes */
    size_t num_old_roles;
    uint8_t old_bytes[USER_ROLES_MAX][USER_ROLE_MAX];
};

/* An edit_change. Keeps the old roles, for the output. */
static void change_roles(void *data, struct user_record *record)
{
    struct role_change *change = data;
    const struct user_fields *fields = &record->fields;
    change->num_old_roles = fields->num_roles;
    for (size_t i = 0; i < fields->num_roles; i++) {
        struct user_text role = fields->roles[i];
        if (role.len > USER_ROLE_MAX) /* a damaged user */
            role.len = USER_ROLE_MAX;
        if (role.len != 0)
            memcpy(change->old_bytes[i], role.data, role.len);
        change->old_roles[i] = (struct user_text){change->old_bytes[i], role.len};
    }
    replace_roles(record, &change->list);
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

static void print_role_change(const struct inspect_options *options, const struct edit *edit,
                              const struct role_change *change)
{
    const struct typed_roles *list = &change->list;
    char id[UUID_TEXT_SIZE + 1];
    uuid_to_string(id, edit->id);
    if (!options->json) {
        printf("%s: ", id);
        print_roles_text(list->roles, list->count);
        fputs(", was: ", stdout);
        print_roles_text(change->old_roles, change->num_old_roles);
        putchar('\n');
        return;
    }
    struct json_object *object = object_new();
    object_add_string(object, "id", id);
    object_add(object, "roles", roles_array(list->roles, list->count));
    object_add(object, "old_roles", roles_array(change->old_roles, change->num_old_roles));
    object_print(stdout, object);
}

/* Makes the change of one user and waits until it is on disk. */
static enum inspect_exit edit_one(const struct inspect_options *options, struct edit *edit)
{
    struct table_writer writer;
    enum inspect_exit code = table_writer_open(&writer, options);
    if (code != INSPECT_DONE)
        return code;
    code = user_operand_resolve(edit->operand, &writer, edit->id);
    if (code == INSPECT_DONE)
        code = edit_user(edit, &writer);
    if (code == INSPECT_DONE)
        code = durable_wait(&writer);
    table_writer_close(&writer);
    return code;
}

enum inspect_exit command_set_roles(const struct inspect_options *options)
{
    static struct role_change change;
    struct user_operand operand;
    struct edit edit = {.operand = &operand, .change = change_roles, .data = &change};
    enum inspect_exit code = typed_parse_roles(&change.list, "set-roles", options->operands[1]);
    if (code == INSPECT_DONE)
        code = user_operand_parse(&operand, options->operands[0]);
    if (code == INSPECT_DONE)
        code = edit_one(options, &edit);
    if (code == INSPECT_DONE)
        print_role_change(options, &edit, &change);
    edit_wipe(&edit);
    return code;
}

/* ---- update ---- */

struct update {
    const struct inspect_options *options;
    struct typed_roles roles;
    struct typed_labels labels;                 /* to be set */
    struct user_label all[2 * USER_LABELS_MAX]; /* of the user, afterwards */
};

static enum inspect_exit fail_update(const char *reason)
{
    return report_fail(INSPECT_USAGE, "update: %s", reason);
}

static enum inspect_exit parse_update_labels(struct update *update)
{
    const struct inspect_list *removed = &update->options->remove_labels;
    const char *reason;
    enum inspect_exit code =
        typed_parse_labels(&update->labels, "update", &update->options->labels);
    for (size_t i = 0; i < removed->count && code == INSPECT_DONE; i++)
        if (!user_check_label_key(typed_text(removed->values[i]), &reason))
            code = fail_update(reason);
    return code;
}

static enum inspect_exit parse_update(struct update *update, uint64_t *if_version)
{
    const struct inspect_options *options = update->options;
    bool any = options->username != NULL || options->email != NULL || options->roles != NULL ||
               options->labels.count != 0 || options->remove_labels.count != 0;
    if (options->disable && options->enable)
        return fail_update("--disable and --enable exclude each other");
    if (!any && !options->disable && !options->enable)
        return fail_update("nothing is to be changed (see shm-inspect --help)");
    char etag[USER_ETAG_SIZE + 1];
    bool quoted = options->if_etag == NULL || options->if_etag[0] == '"';
    int len = options->if_etag == NULL
                  ? 0
                  : snprintf(etag, sizeof(etag), quoted ? "%s" : "\"%s\"", options->if_etag);
    if (options->if_etag != NULL &&
        (len >= (int)sizeof(etag) ||
         !user_etag_parse((const uint8_t *)etag, (size_t)len, if_version)))
        return fail_update("--if-etag: it is not an etag of this server (see: get)");
    enum inspect_exit code = typed_check_texts("update", options);
    if (code == INSPECT_DONE && options->roles != NULL)
        code = typed_parse_roles(&update->roles, "update", options->roles);
    return code == INSPECT_DONE ? parse_update_labels(update) : code;
}

/* Whether the user does not keep its label as it is. */
static bool is_replaced(const struct update *update, struct user_text key)
{
    const struct inspect_list *removed = &update->options->remove_labels;
    for (size_t i = 0; i < update->labels.count; i++)
        if (user_text_equal(update->labels.labels[i].key, key))
            return true;
    for (size_t i = 0; i < removed->count; i++)
        if (user_text_equal(typed_text(removed->values[i]), key))
            return true;
    return false;
}

static void change_labels(struct update *update, struct user_record *record)
{
    size_t count = 0;
    for (size_t i = 0; i < record->num_labels; i++)
        if (!is_replaced(update, record->labels[i].key))
            update->all[count++] = record->labels[i];
    for (size_t i = 0; i < update->labels.count; i++)
        update->all[count++] = update->labels.labels[i];
    record->labels = update->all;
    record->num_labels = count;
}

/* An edit_change. */
static void change_fields(void *data, struct user_record *record)
{
    struct update *update = data;
    const struct inspect_options *options = update->options;
    if (options->username != NULL)
        record->fields.username = typed_text(options->username);
    if (options->email != NULL)
        record->fields.email = typed_text(options->email);
    if (options->roles != NULL)
        replace_roles(record, &update->roles);
    if (options->disable || options->enable)
        record->disabled = options->disable;
    change_labels(update, record);
}

enum inspect_exit command_update(const struct inspect_options *options)
{
    static struct update update;
    struct user_operand operand;
    struct show_user user;
    struct edit edit = {.operand = &operand, .change = change_fields, .data = &update};
    update.options = options;
    enum inspect_exit code = parse_update(&update, &edit.if_version);
    if (code == INSPECT_DONE)
        code = user_operand_parse(&operand, options->operands[0]);
    if (code == INSPECT_DONE)
        code = edit_one(options, &edit);
    if (code == INSPECT_DONE && show_user_read(&user, &edit.after))
        options->json ? show_user_json(&user) : show_user_block(&user);
    edit_wipe(&edit);
    return code;
}

/* ---- disable, enable ---- */

/* An edit_change. */
static void change_disabled(void *data, struct user_record *record)
{
    const bool *disabled = data;
    record->disabled = *disabled;
}

/* Changes each of the users. @param edits [count], with their operands */
static enum inspect_exit edit_each(struct table_writer *writer, struct edit *edits, size_t count,
                                   size_t *done)
{
    enum inspect_exit code = INSPECT_DONE;
    for (size_t i = 0; i < count; i++) {
        enum inspect_exit found = user_operand_resolve(edits[i].operand, writer, edits[i].id);
        if (found != INSPECT_DONE)
            code = found;
    }
    for (*done = 0; code == INSPECT_DONE && *done < count; *done += code == INSPECT_DONE) {
        code = edit_user(&edits[*done], writer);
        edit_wipe(&edits[*done]);
    }
    return code;
}

static void print_switched(const struct inspect_options *options, const struct edit *edits,
                           size_t count, const char *what)
{
    struct json_object *list = options->json ? object_new_array() : NULL;
    char id[UUID_TEXT_SIZE + 1];
    for (size_t i = 0; i < count; i++) {
        uuid_to_string(id, edits[i].id);
        if (options->json)
            object_append(list, object_new_text(id, UUID_TEXT_SIZE));
        else
            printf("%s is %s\n", id, what);
    }
    if (!options->json)
        return;
    struct json_object *object = object_new();
    object_add(object, what, list);
    object_print(stdout, object);
}

static enum inspect_exit switch_users(const struct inspect_options *options, bool disabled)
{
    struct table_writer writer;
    struct user_operand *operands;
    size_t count, done = 0;
    enum inspect_exit code = user_operand_parse_all(options->all_operands, &operands, &count);
    if (code != INSPECT_DONE)
        return code;
    struct edit *edits = memory_new_array(count, sizeof(*edits));
    for (size_t i = 0; i < count; i++) {
        edits[i].operand = &operands[i];
        edits[i].change = change_disabled;
        edits[i].data = &disabled;
    }
    code = table_writer_open(&writer, options);
    if (code == INSPECT_DONE) {
        code = edit_each(&writer, edits, count, &done);
        enum inspect_exit durable = durable_wait(&writer);
        if (durable != INSPECT_DONE)
            code = durable;
        else if (done > 0)
            print_switched(options, edits, done, disabled ? "disabled" : "enabled");
        table_writer_close(&writer);
    }
    free(edits);
    free(operands);
    return code;
}

enum inspect_exit command_disable(const struct inspect_options *options)
{
    return switch_users(options, true);
}

enum inspect_exit command_enable(const struct inspect_options *options)
{
    return switch_users(options, false);
}
