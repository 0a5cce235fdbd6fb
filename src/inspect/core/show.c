/* SPDX-License-Identifier: MIT */
#include "inspect/core/show.h"

#include <inttypes.h>
#include <stdio.h>

#include "inspect/core/object.h"
#include "inspect/core/record.h"
#include "inspect/core/text.h"
#include "user/etag.h"

bool show_user_read(struct show_user *user, const struct shm_record *record)
{
    user->record = record;
    return user_record_decode(&user->user, &user->room, record->body, record->body_len,
                              shm_record_hidden(record), record->hidden_len);
}

static bool has_password(const struct show_user *user)
{
    return user->user.secret.len != 0;
}

static void format_etag(char text[USER_ETAG_SIZE + 1], const struct show_user *user)
{
    text[user_etag_format(text, user->record->version)] = '\0';
}

void show_user_json(const struct show_user *user)
{
    struct json_object *object = record_object(user->record->id, &user->user);
    char etag[USER_ETAG_SIZE + 1];
    format_etag(etag, user);
    object_add_bool(object, "has_password", has_password(user));
    object_add_string(object, "etag", etag);
    object_add_number(object, "seq", user->record->seq);
    object_print(stdout, object);
}

/* The time of the last update; that of the creation if there was none. */
static void format_updated(char text[TEXT_TIME_SIZE], const struct user_record *user)
{
    if (user->update_time == user_create_time(&user->fields))
        text_format_time(text, user->fields.created_at);
    else
        text_format_nanoseconds(text, user->update_time);
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

static void print_label(const struct user_label *label)
{
    print_user_text(&label->key);
    putchar('=');
    print_user_text(&label->value);
}

/* text_print() escapes the tabs inside a text, so a tab always separates columns. */
void show_user_line(const struct show_user *user)
{
    const struct user_fields *fields = &user->user.fields;
    char id[UUID_TEXT_SIZE + 1], created[TEXT_TIME_SIZE], updated[TEXT_TIME_SIZE];
    uuid_to_string(id, user->record->id);
    text_format_time(created, fields->created_at);
    format_updated(updated, &user->user);
    printf("%" PRIu64 "\t%s\t%s\t", user->record->seq, id, created);
    print_user_text(&fields->username);
    putchar('\t');
    print_user_text(&fields->email);
    putchar('\t');
    print_roles(fields);
    printf("\t%s\t%s%s%s\t", updated, user->user.disabled ? "disabled" : "",
           user->user.disabled && has_password(user) ? "," : "",
           has_password(user) ? "password" : "");
    for (size_t i = 0; i < user->user.num_labels; i++) {
        if (i > 0)
            putchar(',');
        print_label(&user->user.labels[i]);
    }
    putchar('\n');
}

/* The names of the columns are as wide as the ids and times, so that tabs put them above these. */
void show_user_row(const struct show_user *user)
{
    static bool under_header;
    if (!under_header)
        printf("seq\t%-*s\t%-20s\tusername\temail\troles\t%-20s\tstate\tlabels\n", UUID_TEXT_SIZE,
               "id", "created", "updated");
    under_header = true;
    show_user_line(user);
}

void show_user_block(const struct show_user *user)
{
    const struct user_fields *fields = &user->user.fields;
    char id[UUID_TEXT_SIZE + 1], time[TEXT_TIME_SIZE], etag[USER_ETAG_SIZE + 1];
    uuid_to_string(id, user->record->id);
    text_format_time(time, fields->created_at);
    printf("id        %s\nusername  ", id);
    print_user_text(&fields->username);
    fputs("\nemail     ", stdout);
    print_user_text(&fields->email);
    printf("\ncreated   %s\nroles     ", time);
    print_roles(fields);
    format_updated(time, &user->user);
    printf("\nupdated   %s\ndisabled  %s\npassword  %s\n", time, user->user.disabled ? "yes" : "no",
           has_password(user) ? "yes" : "no");
    for (size_t i = 0; i < user->user.num_labels; i++) {
        fputs("label     ", stdout);
        print_label(&user->user.labels[i]);
        putchar('\n');
    }
    format_etag(etag, user);
    printf("etag      %s\nseq       %" PRIu64 "\n", etag, user->record->seq);
}
