/* SPDX-License-Identifier: MIT */
#include "service/directory/directory_record.h"

#include <string.h>

enum { KEPT_MAX = USER_RECORD_MAX }; /* bytes of a request's texts */

static struct user_text text_in(const ProtobufCBinaryData *from)
{
    return (struct user_text){.data = from->data, .len = from->len};
}

struct user_record directory_record_of(const Rosterd__Directory__V1__User *user,
                                       struct user_record_room *room)
{
    struct user_record record = {.disabled = user->disabled, .num_labels = user->n_labels};
    record.labels = &room->labels[0];
    record.fields = (struct user_fields){.username = text_in(&user->username),
                                         .email = text_in(&user->email),
                                         .roles = &room->roles[0],
                                         .num_roles = user->n_roles};
    for (size_t i = 0; i < user->n_roles && i < USER_ROLES_MAX; i++)
        room->roles[i] = text_in(&user->roles[i]);
    for (size_t i = 0; i < user->n_labels && i < USER_LABELS_MAX; i++)
        room->labels[i] =
            (struct user_label){text_in(&user->labels[i]->key), text_in(&user->labels[i]->value)};
    return record;
}

struct kept_record {
    struct user_record record;
    struct user_record_room room;
    size_t len;
    uint8_t bytes[KEPT_MAX];
};

/* @return false: there is no room */
static bool keep_request_text(struct kept_record *kept, struct user_text *to, struct user_text from)
{
    if (from.len > sizeof(kept->bytes) - kept->len)
        return false;
    *to = (struct user_text){.data = kept->bytes + kept->len, .len = from.len};
    if (from.len != 0)
        memcpy(kept->bytes + kept->len, from.data, from.len);
    kept->len += from.len;
    return true;
}

const struct user_record *directory_record_keep(struct grpc_arena *arena,
                                                const struct user_record *from)
{
    if (from->fields.num_roles > USER_ROLES_MAX || from->num_labels > USER_LABELS_MAX)
        return NULL;
    struct kept_record *kept = grpc_arena_alloc(arena, sizeof(*kept));
    if (kept == NULL)
        return NULL;
    kept->len = 0;
    kept->record = *from;
    kept->record.fields.roles = kept->room.roles;
    kept->record.labels = kept->room.labels;
    kept->record.secret = (struct user_text){.len = 0};
    bool good = keep_request_text(kept, &kept->record.fields.username, from->fields.username) &&
                keep_request_text(kept, &kept->record.fields.email, from->fields.email);
    for (size_t i = 0; good && i < from->fields.num_roles; i++)
        good = keep_request_text(kept, &kept->room.roles[i], from->fields.roles[i]);
    for (size_t i = 0; good && i < from->num_labels; i++)
        good = keep_request_text(kept, &kept->room.labels[i].key, from->labels[i].key) &&
               keep_request_text(kept, &kept->room.labels[i].value, from->labels[i].value);
    return good ? &kept->record : NULL;
}
