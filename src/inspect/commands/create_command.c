/* SPDX-License-Identifier: MIT */
#include "inspect/commands/create_command.h"

#include <string.h>

#include "base/clock.h"
#include "inspect/commands/typed_fields.h"
#include "inspect/core/durable_wait.h"
#include "inspect/core/show.h"
#include "inspect/core/table_writer.h"

struct create {
    struct typed_roles roles;
    struct typed_labels labels;
    struct user_record user;
    struct shm_record stored; /* the user as the table has it */
};

static enum inspect_exit parse_create(struct create *create, const struct inspect_options *options)
{
    struct user_record *user = &create->user;
    if (options->username == NULL)
        return report_fail(INSPECT_USAGE, "create: --username is missing");
    enum inspect_exit code = typed_check_texts("create", options);
    if (code == INSPECT_DONE && options->roles != NULL)
        code = typed_parse_roles(&create->roles, "create", options->roles);
    if (code == INSPECT_DONE)
        code = typed_parse_labels(&create->labels, "create", &options->labels);
    if (code != INSPECT_DONE)
        return code;
    user->fields.username = typed_text(options->username);
    if (options->email != NULL)
        user->fields.email = typed_text(options->email);
    user->fields.created_at = clock_real_coarse_s();
    user->fields.roles = create->roles.roles;
    user->fields.num_roles = create->roles.count;
    user->disabled = options->disable;
    user->update_time = user_create_time(&user->fields);
    user->labels = create->labels.labels;
    user->num_labels = create->labels.count;
    const char *reason;
    return user_record_check(user, &reason) ? INSPECT_DONE
                                            : report_fail(INSPECT_USAGE, "create: %s", reason);
}

static void encode_created(struct create *create)
{
    static struct uuid_source ids;
    struct shm_record *stored = &create->stored;
    uuid_random(&ids, stored->id);
    stored->body_len = (uint32_t)user_body_encode(stored->body, &create->user.fields);
    stored->hidden_len =
        (uint32_t)user_hidden_encode(stored->body + stored->body_len, &create->user);
}

static enum inspect_exit insert_created(struct create *create, struct table_writer *writer)
{
    struct shm_record *stored = &create->stored;
    struct shm_conflict conflict;
    struct shm_user found;
    struct shm_new_user new_user = {.body = stored->body,
                                    .body_len = stored->body_len,
                                    .hidden = shm_record_hidden(stored),
                                    .hidden_len = stored->hidden_len};
    memcpy(new_user.id, stored->id, sizeof(new_user.id));
    int error = table_writer_insert(writer, &new_user, 1, &conflict);
    if (error == SHM_EKEY)
        return report_fail(INSPECT_FAILED, "create: another user has this %s, which is unique",
                           user_key_name(conflict.key));
    if (error != SHM_OK)
        return table_writer_fail(writer, error);
    stored->version = writer->version;
    /* Only the store knows the sequence number. Another program may have deleted the user
     * already: then it is shown as 0. */
    if (table_writer_find(writer, stored->id, &found) == SHM_OK)
        stored->seq = found.seq;
    shm_actor_offline(writer->actor);
    return INSPECT_DONE;
}

enum inspect_exit command_create(const struct inspect_options *options)
{
    static struct create create;
    struct table_writer writer;
    struct show_user user;
    enum inspect_exit code = parse_create(&create, options);
    if (code == INSPECT_DONE)
        code = table_writer_open(&writer, options);
    if (code != INSPECT_DONE)
        return code;
    encode_created(&create);
    code = insert_created(&create, &writer);
    if (code == INSPECT_DONE)
        code = durable_wait(&writer);
    table_writer_close(&writer);
    if (code == INSPECT_DONE && show_user_read(&user, &create.stored))
        options->json ? show_user_json(&user) : show_user_block(&user);
    return code;
}
