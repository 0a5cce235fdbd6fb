/* SPDX-License-Identifier: MIT */
#include "inspect/core/show.h"

#include <inttypes.h>
#include <stdio.h>

#include "inspect/core/text.h"

bool show_user_read(struct show_user *user, const struct shm_record *record)
{
    user->record = record;
    return user_body_decode(&user->fields, user->roles, record->body, record->body_len);
}

static struct json_object *text_object(const struct user_text *text)
{
    return text_json_string(text->data, text->len);
}

struct json_object *show_user_object(const struct show_user *user)
{
    char id[UUID_TEXT_SIZE + 1];
    struct json_object *object = json_object_new_object();
    struct json_object *roles = json_object_new_array();
    const struct user_fields *fields = &user->fields;

    uuid_to_string(id, user->record->id);
    json_object_object_add(object, "id", json_object_new_string(id));
    json_object_object_add(object, "username", text_object(&fields->username));
    json_object_object_add(object, "email", text_object(&fields->email));
    json_object_object_add(object, "created_at", json_object_new_int64(fields->created_at));
    for (size_t i = 0; i < fields->num_roles; i++)
        json_object_array_add(roles, text_object(&fields->roles[i]));
    json_object_object_add(object, "roles", roles);
    json_object_object_add(object, "seq", json_object_new_uint64(user->record->seq));
    return object;
}

void show_user_json(const struct show_user *user)
{
    struct json_object *object = show_user_object(user);

    text_print_json(stdout, object);
    json_object_put(object);
}

static void print_text(const struct user_text *text)
{
    text_print(stdout, text->data, text->len);
}

static void print_roles(const struct user_fields *fields)
{
    for (size_t i = 0; i < fields->num_roles; i++) {
        if (i > 0)
            putchar(',');
        print_text(&fields->roles[i]);
    }
}

/* text_print() lets tabs through nowhere else. */
void show_user_line(const struct show_user *user)
{
    char id[UUID_TEXT_SIZE + 1], created[TEXT_TIME_SIZE];

    uuid_to_string(id, user->record->id);
    text_time_format(created, user->fields.created_at);
    printf("%" PRIu64 "\t%s\t%s\t", user->record->seq, id, created);
    print_text(&user->fields.username);
    putchar('\t');
    print_text(&user->fields.email);
    putchar('\t');
    print_roles(&user->fields);
    putchar('\n');
}

void show_user_block(const struct show_user *user)
{
    char id[UUID_TEXT_SIZE + 1], created[TEXT_TIME_SIZE];

    uuid_to_string(id, user->record->id);
    text_time_format(created, user->fields.created_at);
    printf("id        %s\nusername  ", id);
    print_text(&user->fields.username);
    fputs("\nemail     ", stdout);
    print_text(&user->fields.email);
    printf("\ncreated   %s\nroles     ", created);
    print_roles(&user->fields);
    printf("\nseq       %" PRIu64 "\n", user->record->seq);
}
