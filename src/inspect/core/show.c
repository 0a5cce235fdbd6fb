/* SPDX-License-Identifier: MIT */
#include "inspect/core/show.h"

#include <inttypes.h>
#include <stdio.h>

#include "inspect/core/object.h"
#include "inspect/core/record.h"
#include "inspect/core/text.h"

bool show_user_read(struct show_user *user, const struct shm_record *record)
{
    user->record = record;
    return user_body_decode(&user->fields, user->roles, record->body, record->body_len);
}

void show_user_json(const struct show_user *user)
{
    struct json_object *object = record_object(user->record->id, &user->fields);
    object_add_number(object, "seq", user->record->seq);
    object_print(stdout, object);
}

static void print_user_text(const struct user_text *text)
{
    text_print(stdout, text->data, text->len);
}

static void print_roles(const struct user_fields *fields)
{
    for (size_t i = 0; i < fields->num_roles; i++) {
        if (i > 0)
            putchar(',');
        print_user_text(&fields->roles[i]);
    }
}

/* text_print() escapes the tabs inside a text, so a tab always separates columns. */
void show_user_line(const struct show_user *user)
{
    char id[UUID_TEXT_SIZE + 1], created[TEXT_TIME_SIZE];
    uuid_to_string(id, user->record->id);
    text_format_time(created, user->fields.created_at);
    printf("%" PRIu64 "\t%s\t%s\t", user->record->seq, id, created);
    print_user_text(&user->fields.username);
    putchar('\t');
    print_user_text(&user->fields.email);
    putchar('\t');
    print_roles(&user->fields);
    putchar('\n');
}

void show_user_block(const struct show_user *user)
{
    char id[UUID_TEXT_SIZE + 1], created[TEXT_TIME_SIZE];
    uuid_to_string(id, user->record->id);
    text_format_time(created, user->fields.created_at);
    printf("id        %s\nusername  ", id);
    print_user_text(&user->fields.username);
    fputs("\nemail     ", stdout);
    print_user_text(&user->fields.email);
    printf("\ncreated   %s\nroles     ", created);
    print_roles(&user->fields);
    printf("\nseq       %" PRIu64 "\n", user->record->seq);
}
