/* SPDX-License-Identifier: MIT */
#include "inspect/core/record.h"

#include <string.h>

#include "base/utf8.h"
#include "inspect/core/object.h"
#include "inspect/core/text.h"
#include "shm/store.h"

_Static_assert((int)USER_BODY_MAX <= (int)SHM_BODY_MAX, "the store takes every valid user");

void record_print_header(FILE *out, const char *segment, uint64_t version, uint64_t users)
{
    struct json_object *object = object_new();
    object_add_number(object, "rosterd_dump", RECORD_FORMAT);
    object_add_string(object, "segment", segment);
    object_add_number(object, "version", version);
    object_add_number(object, "users", users);
    object_print(out, object);
}

void record_print_trailer(FILE *out, uint64_t users)
{
    struct json_object *object = object_new();
    object_add_number(object, "rosterd_dump_end", RECORD_FORMAT);
    object_add_number(object, "users", users);
    object_print(out, object);
}

/* Whether both parts consist of exactly these fields, byte for byte. */
static bool is_whole(const struct user_record *record, const struct shm_record *user)
{
    uint8_t body[SHM_BODY_MAX], hidden[2 * SHM_BODY_MAX];
    size_t hidden_len = user_hidden_encode(hidden, record);
    bool whole = user_body_encode(body, &record->fields) == user->body_len &&
                 memcmp(body, user->body, user->body_len) == 0 && hidden_len == user->hidden_len &&
                 memcmp(hidden, shm_record_hidden(user), hidden_len) == 0;
    explicit_bzero(hidden, hidden_len);
    return whole;
}

static bool text_is_utf8(struct user_text text)
{
    return utf8_valid(text.data, text.len);
}

static bool check_stored_hidden(const struct user_record *record, struct fault *fault)
{
    for (size_t i = 0; i < record->num_labels; i++) {
        const struct user_label *label = &record->labels[i];
        if (!text_is_utf8(label->key) || !text_is_utf8(label->value))
            return fault_set(fault, "one of its labels is not UTF-8");
        if (label->key.len != 0 && memchr(label->key.data, '\0', label->key.len) != NULL)
            return fault_set(fault, "the key of one of its labels contains U+0000");
        if (i > 0 && user_text_equal(label->key, label[-1].key)) /* they are sorted: is_whole() */
            return fault_set(fault, "two of its labels have the same key");
    }
    return text_is_utf8(record->secret) || fault_set(fault, "its password hash is not UTF-8");
}

static bool check_stored(const struct user_record *record, struct fault *fault)
{
    const struct user_fields *fields = &record->fields;
    if (fields->username.len == 0)
        return fault_set(fault, "it has no username");
    if (!text_is_utf8(fields->username))
        return fault_set(fault, "its username is not UTF-8");
    if (!text_is_utf8(fields->email))
        return fault_set(fault, "its email is not UTF-8");
    for (size_t i = 0; i < fields->num_roles; i++)
        if (!text_is_utf8(fields->roles[i]))
            return fault_set(fault, "one of its roles is not UTF-8");
    return check_stored_hidden(record, fault);
}

static void add_labels(struct json_object *object, const struct user_record *user)
{
    struct json_object *labels = object_new();
    for (size_t i = 0; i < user->num_labels; i++) {
        const struct user_label *label = &user->labels[i];
        struct json_object *key = object_new_text(label->key.data, label->key.len);
        object_add(labels, json_object_get_string(key),
                   object_new_text(label->value.data, label->value.len));
        json_object_put(key);
    }
    object_add(object, "labels", labels);
}

struct json_object *record_object(const uint8_t id[UUID_SIZE], const struct user_record *user)
{
    const struct user_fields *fields = &user->fields;
    char text[UUID_TEXT_SIZE + 1];
    struct json_object *object = object_new();
    struct json_object *roles = object_new_array();
    _Static_assert((int)TEXT_TIME_SIZE <= (int)sizeof(text), "a time fits, too");
    uuid_to_string(text, id);
    object_add_string(object, "id", text);
    object_add(object, "username", object_new_text(fields->username.data, fields->username.len));
    object_add(object, "email", object_new_text(fields->email.data, fields->email.len));
    object_add_signed(object, "created_at", fields->created_at);
    for (size_t i = 0; i < fields->num_roles; i++)
        object_append(roles, object_new_text(fields->roles[i].data, fields->roles[i].len));
    object_add(object, "roles", roles);
    object_add_bool(object, "disabled", user->disabled);
    add_labels(object, user);
    text_format_nanoseconds(text, user->update_time);
    object_add_string(object, "update_time", text);
    return object;
}

bool record_print(FILE *out, const struct shm_record *user, bool with_secret, struct fault *fault)
{
    struct user_record_room room;
    struct user_record record;
    if (!user_record_decode(&record, &room, user->body, user->body_len, shm_record_hidden(user),
                            user->hidden_len))
        return fault_set(fault, "its body is not a User message");
    if (!check_stored(&record, fault))
        return false;
    if (!is_whole(&record, user))
        return fault_set(fault, "its body holds more than a user's fields");
    struct json_object *object = record_object(user->id, &record);
    if (with_secret)
        object_add(object, "password_hash", object_new_text(record.secret.data, record.secret.len));
    else
        object_add_bool(object, "has_password", record.secret.len != 0);
    object_print(out, object);
    return true;
}
