/* SPDX-License-Identifier: MIT */
#include "inspect/commands/typed_fields.h"

#include <string.h>

#include "base/utf8.h"

struct user_text typed_text(const char *string)
{
    return (struct user_text){.data = (const uint8_t *)string, .len = strlen(string)};
}

static enum inspect_exit fail_typed(const char *command, const char *reason)
{
    return report_fail(INSPECT_USAGE, "%s: %s", command, reason);
}

enum inspect_exit typed_check_texts(const char *command, const struct inspect_options *options)
{
    struct user_fields fields = {.username = typed_text("x")};
    const char *reason;
    if (options->username != NULL)
        fields.username = typed_text(options->username);
    if (options->email != NULL)
        fields.email = typed_text(options->email);
    if (!utf8_valid(fields.username.data, fields.username.len))
        return fail_typed(command, "username is not UTF-8");
    if (!utf8_valid(fields.email.data, fields.email.len))
        return fail_typed(command, "email is not UTF-8");
    return user_check(&fields, &reason) ? INSPECT_DONE : fail_typed(command, reason);
}

/* ---- roles ---- */

static enum inspect_exit fail_role(const char *command, struct user_text role, const char *reason)
{
    return report_fail(INSPECT_USAGE, "%s: role \"%.*s\": %s", command, (int)role.len,
                       (const char *)role.data, reason);
}

static enum inspect_exit parse_role(struct typed_roles *list, const char *command,
                                    struct user_text role)
{
    struct user_fields fields = {.roles = &role, .num_roles = 1};
    if (!utf8_valid(role.data, role.len))
        return fail_role(command, role, "it is not UTF-8");
    const char *reason;
    if (!user_check_roles(&fields, &reason))
        return fail_role(command, role, reason);
    if (list->count == USER_ROLES_MAX)
        return report_fail(INSPECT_USAGE, "%s: there are more than %d roles", command,
                           USER_ROLES_MAX);
    list->roles[list->count++] = role;
    fields = (struct user_fields){.roles = list->roles, .num_roles = list->count};
    return user_check_roles(&fields, &reason) ? INSPECT_DONE : fail_role(command, role, reason);
}

enum inspect_exit typed_parse_roles(struct typed_roles *list, const char *command, const char *text)
{
    list->count = 0;
    if (*text == '\0')
        return INSPECT_DONE;
    for (;;) {
        size_t len = strcspn(text, ",");
        enum inspect_exit code = parse_role(
            list, command, (struct user_text){.data = (const uint8_t *)text, .len = len});
        if (code != INSPECT_DONE || text[len] == '\0')
            return code;
        text += len + 1;
    }
}

/* ---- labels ---- */

enum inspect_exit typed_parse_labels(struct typed_labels *list, const char *command,
                                     const struct inspect_list *given)
{
    const char *reason;
    list->count = 0;
    for (size_t i = 0; i < given->count; i++) {
        const char *equals = strchr(given->values[i], '=');
        if (equals == NULL)
            return report_fail(INSPECT_USAGE, "%s: --label %s: it is not KEY=VALUE", command,
                               given->values[i]);
        struct user_label *label = &list->labels[list->count++];
        label->key = (struct user_text){(const uint8_t *)given->values[i],
                                        (size_t)(equals - given->values[i])};
        label->value = typed_text(equals + 1);
        if (!utf8_valid(label->value.data, label->value.len))
            return fail_typed(command, "the value of a label is not UTF-8");
    }
    return user_check_labels(list->labels, list->count, &reason) ? INSPECT_DONE
                                                                 : fail_typed(command, reason);
}
