/* SPDX-License-Identifier: MIT */
#include "inspect/core/record.h"

#include <string.h>

#include "base/utf8.h"
#include "inspect/core/object.h"
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

/* Whether the body consists of exactly these fields, byte for byte. */
static bool is_whole(const struct user_fields *fields, const uint8_t *body, uint32_t body_len)
{
    uint8_t again[SHM_BODY_MAX];
    return user_body_encode(again, fields) == body_len && memcmp(again, body, body_len) == 0;
}

static bool text_is_utf8(struct user_text text)
{
    return utf8_valid(text.data, text.len);
}

static bool check_stored(const struct user_fields *fields, struct fault *fault)
{
    if (fields->username.len == 0)
        return fault_set(fault, "it has no username");
    if (!text_is_utf8(fields->username))
        return fault_set(fault, "its username is not UTF-8");
    if (!text_is_utf8(fields->email))
        return fault_set(fault, "its email is not UTF-8");
    for (size_t i = 0; i < fields->num_roles; i++)
        if (!text_is_utf8(fields->roles[i]))
            return fault_set(fault, "one of its roles is not UTF-8");
    return true;
}

struct json_object *record_object(const uint8_t id[UUID_SIZE], const struct user_fields *fields)
{
    char id_text[UUID_TEXT_SIZE + 1];
    struct json_object *object = object_new();
    struct json_object *roles = object_new_array();
    uuid_to_string(id_text, id);
    object_add_string(object, "id", id_text);
    object_add(object, "username", object_new_text(fields->username.data, fields->username.len));
    object_add(object, "email", object_new_text(fields->email.data, fields->email.len));
    object_add_signed(object, "created_at", fields->created_at);
    for (size_t i = 0; i < fields->num_roles; i++)
        object_append(roles, object_new_text(fields->roles[i].data, fields->roles[i].len));
    object_add(object, "roles", roles);
    return object;
}

bool record_print(FILE *out, const uint8_t id[UUID_SIZE], const uint8_t *body, uint32_t body_len,
                  struct fault *fault)
{
    struct user_text roles[USER_ROLES_MAX];
    struct user_fields fields;
    if (body_len > SHM_BODY_MAX || !user_body_decode(&fields, roles, body, body_len))
        return fault_set(fault, "its body is not a User message");
    if (!check_stored(&fields, fault))
        return false;
    if (!is_whole(&fields, body, body_len))
        return fault_set(fault, "its body holds more than a user's fields");
    object_print(out, record_object(id, &fields));
    return true;
}
