/* SPDX-License-Identifier: MIT */
#include "inspect/commands/edit.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "user/etag.h"

/* A try to change one version of the user. */
struct edit_try {
    struct user_record_room room;
    struct user_record record;
    uint64_t version;
    size_t old_len;
    uint8_t old[SHM_BODY_MAX]; /* both parts, to which the record points */
};

static enum inspect_exit fail_edit(const struct edit *edit, enum inspect_exit code,
                                   const char *reason)
{
    char id[UUID_TEXT_SIZE + 1];
    uuid_to_string(id, edit->id);
    return report_fail(code, "user %s: %s", id, reason);
}

static enum inspect_exit fail_stale(const struct edit *edit, uint64_t version)
{
    char reason[96], etag[USER_ETAG_SIZE + 1];
    etag[user_etag_format(etag, version)] = '\0';
    snprintf(reason, sizeof(reason), "it has been changed since: its etag is %s", etag);
    return fail_edit(edit, INSPECT_FAILED, reason);
}

static enum inspect_exit read_user(struct edit *edit, struct table_writer *writer,
                                   struct edit_try *try)
{
    struct shm_user user;
    if (table_writer_find(writer, edit->id, &user) != SHM_OK ||
        !user_operand_matches(edit->operand, edit->id, user.body, user.body_len))
        return user_operand_fail(edit->operand, writer->segment);
    try->version = user.version;
    if (edit->if_version != 0 && edit->if_version != user.version)
        return fail_stale(edit, user.version);
    edit->after.seq = user.seq;
    try->old_len = (size_t)user.body_len + user.hidden_len;
    try->record = (struct user_record){0};
    bool good = try->old_len <= sizeof(try->old);
    if (good) {
        memcpy(try->old, user.body, try->old_len);
        good = user_record_decode(&try->record, &try->room, try->old, user.body_len,
                                  try->old + user.body_len, user.hidden_len) &&
               try->record.fields.username.len != 0;
    }
    return good ? INSPECT_DONE
                : fail_edit(edit, INSPECT_BAD_SEGMENT,
                            "its body is not a User message (see: verify)");
}

/* @return false: there can be no such user; the reason has been reported */
static bool encode_edited(struct edit *edit, const struct user_record *record)
{
    struct shm_record *after = &edit->after;
    const char *reason;
    if (!user_record_check(record, &reason)) {
        fail_edit(edit, INSPECT_FAILED, reason);
        return false;
    }
    after->body_len = (uint32_t)user_body_encode(after->body, &record->fields);
    after->hidden_len = (uint32_t)user_hidden_encode(after->body + after->body_len, record);
    memcpy(after->id, edit->id, sizeof(after->id));
    return true;
}

static enum inspect_exit write_user(struct edit *edit, struct table_writer *writer,
                                    struct edit_try *try, bool *stale)
{
    struct shm_record *after = &edit->after;
    struct shm_conflict conflict;
    edit->change(edit->data, &try->record);
    user_record_touch(&try->record, clock_real_ms());
    if (!encode_edited(edit, &try->record))
        return INSPECT_FAILED;
    struct shm_new_user new_user = {.body = after->body,
                                    .body_len = after->body_len,
                                    .hidden = shm_record_hidden(after),
                                    .hidden_len = after->hidden_len,
                                    .if_version = try->version};
    memcpy(new_user.id, edit->id, sizeof(new_user.id));
    int error = table_writer_update(writer, &new_user, 1, &conflict);
    *stale = error == SHM_ESTALE;
    after->version = writer->version;
    if (error == SHM_EKEY)
        return fail_edit(edit, INSPECT_FAILED,
                         conflict.key == USER_KEY_EMAIL
                             ? "another user has this email, which is unique"
                             : "another user has this username, which is unique");
    if (error == SHM_ENOENT)
        return user_operand_fail(edit->operand, writer->segment);
    return error == SHM_OK || *stale ? INSPECT_DONE : table_writer_fail(writer, error);
}

enum inspect_exit edit_user(struct edit *edit, struct table_writer *writer)
{
    enum { TRIES = 100 };
    struct edit_try try;
    bool stale = true;
    enum inspect_exit code = INSPECT_DONE;
    for (int i = 0; i < TRIES && stale && code == INSPECT_DONE; i++) {
        code = read_user(edit, writer, &try);
        if (code == INSPECT_DONE)
            code = write_user(edit, writer, &try, &stale);
    }
    shm_actor_offline(writer->actor);
    explicit_bzero(&try, sizeof(try));
    return stale && code == INSPECT_DONE ? table_writer_fail(writer, SHM_ESTALE) : code;
}

void edit_wipe(struct edit *edit)
{
    explicit_bzero(&edit->after, sizeof(edit->after));
}
