/* SPDX-License-Identifier: MIT */
#include "inspect/core/record_parser.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "inspect/core/memory.h"

void record_parser_init(struct record_parser *parser)
{
    enum { DEPTH = 4 }; /* object, array, string, and one to spare */
    *parser = (struct record_parser){.tokener = memory_check(json_tokener_new_ex(DEPTH))};
    json_tokener_set_flags(parser->tokener, JSON_TOKENER_STRICT);
}

void record_parser_free(struct record_parser *parser)
{
    json_tokener_free(parser->tokener);
}

/* ---- JSON ---- */

/* Returns the code unit of the \u escape at `at`, or -1 if there is none. */
static long escaped_unit(const char *at, const char *end)
{
    char digits[5] = {0}, *stop;
    if (end - at < 6 || at[0] != '\\' || at[1] != 'u')
        return -1;
    memcpy(digits, at + 2, 4);
    long unit = strtol(digits, &stop, 16);
    return stop == digits + 4 ? unit : -1;
}

/* json-c silently replaces an unpaired surrogate by U+FFFD, and load must not change a text. */
static bool surrogates_are_paired(const char *line, size_t len)
{
    const char *end = line + len, *at = memchr(line, '\\', len);
    while (at != NULL) {
        long unit = escaped_unit(at, end);
        size_t used = unit >= 0 ? 6 : 2;
        if (unit >= 0xDC00 && unit <= 0xDFFF)
            return false;
        if (unit >= 0xD800 && unit <= 0xDBFF) {
            long low = escaped_unit(at + 6, end);
            if (low < 0xDC00 || low > 0xDFFF)
                return false;
            used = 12;
        }
        if (used >= (size_t)(end - at))
            return true;
        at += used;
        at = memchr(at, '\\', (size_t)(end - at));
    }
    return true;
}

/* Checks that the tokener has read one whole object from a line of `len` bytes. */
static bool check_parsed(struct json_tokener *tokener, struct json_object *object, size_t len,
                         struct fault *fault)
{
    enum json_tokener_error error = json_tokener_get_error(tokener);
    size_t end = json_tokener_get_parse_end(tokener);
    if (error == json_tokener_continue)
        return fault_set(fault, "the line ends inside its JSON object");
    if (error != json_tokener_success)
        return fault_set(fault, "not JSON: %s at byte %zu", json_tokener_error_desc(error),
                         end + 1);
    if (end != len) /* json-c stops at a NUL */
        return fault_set(fault, "text after the JSON object");
    return json_object_is_type(object, json_type_object) || fault_set(fault, "not a JSON object");
}

static struct json_object *parse_object(struct json_tokener *tokener, const char *line, size_t len,
                                        struct fault *fault)
{
    if (!utf8_valid((const uint8_t *)line, len)) {
        fault_set(fault, "the line is not UTF-8");
        return NULL;
    }
    if (!surrogates_are_paired(line, len)) {
        fault_set(fault, "unpaired surrogate in a string");
        return NULL;
    }
    json_tokener_reset(tokener);
    struct json_object *object = json_tokener_parse_ex(tokener, line, (int)len);
    if (check_parsed(tokener, object, len, fault))
        return object;
    json_object_put(object);
    return NULL;
}

/* ---- fields ---- */

static const char *type_name(enum json_type type)
{
    switch (type) {
    case json_type_array:
        return "an array of strings";
    case json_type_int:
        return "an integer";
    default:
        return "a string";
    }
}

/* Returns the field's value, or NULL with the fault filled if the field is missing or has another
 * type. */
static struct json_object *get_field(struct json_object *object, const char *key,
                                     enum json_type type, struct fault *fault)
{
    struct json_object *value;
    if (!json_object_object_get_ex(object, key, &value)) {
        fault_set(fault, "%s is missing", key);
        return NULL;
    }
    if (json_object_is_type(value, type))
        return value;
    fault_set(fault, "%s must be %s", key, type_name(type));
    return NULL;
}

static struct user_text string_text(struct json_object *string)
{
    return (struct user_text){.data = (const uint8_t *)json_object_get_string(string),
                              .len = (size_t)json_object_get_string_len(string)};
}

static bool get_text(struct json_object *object, const char *key, struct user_text *text,
                     struct fault *fault)
{
    struct json_object *value = get_field(object, key, json_type_string, fault);
    if (value == NULL)
        return false;
    *text = string_text(value);
    return true;
}

/* Whether the number in the line did not fit the 64 bits of an int64_t. json-c silently replaces
 * such a number by the nearest one that it can hold, so the smallest value is looked up in the
 * line itself. */
static bool was_clamped(const char *line, size_t len, struct json_object *number)
{
    static const char smallest[] = "-9223372036854775808";
    int64_t value = json_object_get_int64(number);
    if (value >= 0)
        return json_object_get_uint64(number) > INT64_MAX;
    if (value != INT64_MIN)
        return false;
    const char *at = memmem(line, len, smallest, sizeof(smallest) - 1);
    const char *after = at != NULL ? at + sizeof(smallest) - 1 : NULL;
    return after == NULL || (after < line + len && *after >= '0' && *after <= '9');
}

static bool get_roles(struct json_object *object, struct user_text roles[USER_ROLES_MAX],
                      size_t *count, struct fault *fault)
{
    struct json_object *array = get_field(object, "roles", json_type_array, fault);
    if (array == NULL)
        return false;
    *count = json_object_array_length(array);
    if (*count > USER_ROLES_MAX)
        return fault_set(fault, "there are more than %d roles", USER_ROLES_MAX);
    for (size_t i = 0; i < *count; i++) {
        struct json_object *role = json_object_array_get_idx(array, i);
        if (!json_object_is_type(role, json_type_string))
            return fault_set(fault, "roles must be an array of strings");
        roles[i] = string_text(role);
    }
    return true;
}

static bool check_field_names(struct json_object *object, struct fault *fault)
{
    static const char *const known[] = {"id", "username", "email", "created_at", "roles"};
    enum { KNOWN = sizeof(known) / sizeof(known[0]) };
    json_object_object_foreach(object, key, value)
    {
        size_t i = 0;
        (void)value;
        while (i < KNOWN && strcmp(key, known[i]) != 0)
            i++;
        if (i == KNOWN)
            return fault_set(fault, "unknown field %.64s", key);
    }
    return true;
}

/* ---- lines ---- */

static bool parse_user(struct json_object *object, const char *line, size_t len,
                       struct record *record, struct fault *fault)
{
    struct user_text id, roles[USER_ROLES_MAX];
    struct user_fields fields = {.roles = roles};
    if (!check_field_names(object, fault) || !get_text(object, "id", &id, fault))
        return false;
    if (!uuid_parse(record->id, id.data, id.len))
        return fault_set(fault, "id must be a UUID");
    if (!get_text(object, "username", &fields.username, fault) ||
        !get_text(object, "email", &fields.email, fault))
        return false;
    struct json_object *created_at = get_field(object, "created_at", json_type_int, fault);
    if (created_at == NULL)
        return false;
    if (was_clamped(line, len, created_at))
        return fault_set(fault, "created_at does not fit 64 bits");
    fields.created_at = json_object_get_int64(created_at);
    if (!get_roles(object, roles, &fields.num_roles, fault))
        return false;
    const char *reason;
    if (!user_check(&fields, &reason) || !user_check_roles(&fields, &reason))
        return fault_set(fault, "%s", reason);
    record->body_len = (uint32_t)user_body_encode(record->body, &fields);
    assert(record->body_len <= sizeof(record->body));
    return true;
}

/* Reads the header or the trailer of a dump. */
static bool parse_frame(struct json_object *object, struct json_object *format, uint64_t *users,
                        struct fault *fault)
{
    struct json_object *value = get_field(object, "users", json_type_int, fault);
    if (!json_object_is_type(format, json_type_int) ||
        json_object_get_int64(format) != RECORD_FORMAT)
        return fault_set(fault, "a dump of format %.32s; this program reads format %d",
                         json_object_to_json_string(format), RECORD_FORMAT);
    if (value == NULL)
        return false;
    if (json_object_get_int64(value) < 0)
        return fault_set(fault, "users must not be negative");
    *users = json_object_get_uint64(value);
    return true;
}

enum record_kind record_parse(struct record_parser *parser, const char *line, size_t len,
                              struct record *record, struct fault *fault)
{
    assert(len <= RECORD_LINE_MAX);
    struct json_object *object = parse_object(parser->tokener, line, len, fault), *format;
    if (object == NULL)
        return RECORD_BAD;
    enum record_kind kind = RECORD_USER;
    if (json_object_object_get_ex(object, "rosterd_dump", &format))
        kind = RECORD_HEADER;
    else if (json_object_object_get_ex(object, "rosterd_dump_end", &format))
        kind = RECORD_TRAILER;
    bool good = kind == RECORD_USER ? parse_user(object, line, len, record, fault)
                                    : parse_frame(object, format, &parser->users, fault);
    json_object_put(object);
    return good ? kind : RECORD_BAD;
}
