/* SPDX-License-Identifier: MIT */
#include "inspect/core/record_parser.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/rfc3339.h"
#include "base/utf8.h"
#include "inspect/core/memory.h"
#include "password/hash_format.h"

static const int64_t SECOND = 1000000000; /* nanoseconds */

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

/* json-c silently replaces an unpaired surrogate by U+FFFD, and load must not change a text.
 * @param has_nul set if there is an escaped U+0000, at which json-c cuts keys */
static bool surrogates_are_paired(const char *line, size_t len, bool *has_nul)
{
    const char *end = line + len, *at = memchr(line, '\\', len);
    *has_nul = false;
    while (at != NULL) {
        long unit = escaped_unit(at, end);
        *has_nul = *has_nul || unit == 0;
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

static struct json_object *parse_object(struct record_parser *parser, const char *line, size_t len,
                                        struct fault *fault)
{
    struct json_tokener *tokener = parser->tokener;
    if (!utf8_valid((const uint8_t *)line, len)) {
        fault_set(fault, "the line is not UTF-8");
        return NULL;
    }
    if (!surrogates_are_paired(line, len, &parser->has_nul)) {
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
    case json_type_boolean:
        return "true or false";
    case json_type_object:
        return "an object of strings";
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

static bool is_given(struct json_object *object, const char *key)
{
    return json_object_object_get_ex(object, key, NULL);
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
    static const char *const known[] = {"id",           "username",     "email",  "created_at",
                                        "roles",        "disabled",     "labels", "update_time",
                                        "has_password", "password_hash"};
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

/* Whether a field that may be missing is there. *good is set to false if it has another type. */
static bool has_field(struct json_object *object, const char *key, enum json_type type,
                      struct json_object **value, bool *good, struct fault *fault)
{
    if (!*good || !json_object_object_get_ex(object, key, value))
        return false;
    *good = get_field(object, key, type, fault) != NULL;
    return *good;
}

static bool take_labels(struct json_object *object, struct user_label labels[USER_LABELS_MAX],
                        size_t *count, struct fault *fault)
{
    *count = 0;
    json_object_object_foreach(object, key, value)
    {
        if (*count == USER_LABELS_MAX)
            return fault_set(fault, "labels has more than %d entries", USER_LABELS_MAX);
        if (!json_object_is_type(value, json_type_string))
            return fault_set(fault, "labels must be an object of strings");
        labels[*count].key = (struct user_text){(const uint8_t *)key, strlen(key)};
        labels[(*count)++].value = string_text(value);
    }
    return true;
}

static bool take_update_time(struct json_object *string, int64_t *nanoseconds, struct fault *fault)
{
    struct user_text text = string_text(string);
    int64_t seconds;
    uint32_t nanos;
    bool good = rfc3339_parse(text.data, text.len, &seconds, &nanos);
    if (good && seconds < 0 && nanos != 0) { /* so that the product of the first time fits */
        seconds++;
        *nanoseconds = (int64_t)nanos - SECOND;
    } else {
        *nanoseconds = nanos;
    }
    if (!good)
        return fault_set(fault, "update_time is not a time such as 2026-01-31T23:59:59Z");
    return (!__builtin_mul_overflow(seconds, SECOND, &seconds) &&
            !__builtin_add_overflow(*nanoseconds, seconds, nanoseconds)) ||
           fault_set(fault, "update_time is not of the years 1678 to 2261");
}

/* @param text is followed by a NUL. It is not shown. */
static bool check_hash(struct user_text text, struct fault *fault)
{
    /* The server verifies no other: its user could never log in. */
    static const struct password_limits limits = PASSWORD_LIMITS_STORED;
    struct hash_format format;
    bool good = text.len <= PASSWORD_HASH_MAX && strlen((const char *)text.data) == text.len;
    if (!good)
        return fault_set(fault, "password_hash is longer than %d bytes or contains U+0000",
                         PASSWORD_HASH_MAX);
    good = hash_format_read(&format, (const char *)text.data, &limits, fault) ||
           fault_prefix(fault, "password_hash");
    explicit_bzero(&format, sizeof(format));
    return good;
}

static bool take_password(struct json_object *object, struct record *record,
                          struct user_record *user, struct fault *fault)
{
    struct json_object *has, *hash;
    bool good = true;
    bool said = has_field(object, "has_password", json_type_boolean, &has, &good, fault);
    bool given = has_field(object, "password_hash", json_type_string, &hash, &good, fault);
    if (!good)
        return false;
    record->had_password = said && !given && json_object_get_boolean(has);
    if (!given)
        return true;
    record->given |= RECORD_SECRET;
    user->secret = string_text(hash);
    if (said && json_object_get_boolean(has) != (user->secret.len != 0))
        return fault_set(fault, "has_password and password_hash contradict each other");
    return user->secret.len == 0 || check_hash(user->secret, fault);
}

/* Takes the fields of record_given. */
static bool take_given(struct json_object *object, struct record *record, struct user_record *user,
                       struct user_record_room *room, struct fault *fault)
{
    struct json_object *value;
    bool good = true;
    record->given = 0;
    if (has_field(object, "disabled", json_type_boolean, &value, &good, fault)) {
        record->given |= RECORD_DISABLED;
        user->disabled = json_object_get_boolean(value);
    }
    if (has_field(object, "labels", json_type_object, &value, &good, fault)) {
        record->given |= RECORD_LABELS;
        good = take_labels(value, room->labels, &user->num_labels, fault);
    }
    if (has_field(object, "update_time", json_type_string, &value, &good, fault)) {
        record->given |= RECORD_UPDATE_TIME;
        good = take_update_time(value, &user->update_time, fault);
    }
    return good && take_password(object, record, user, fault);
}

/* ---- lines ---- */

static bool take_user_id(struct record_parser *parser, struct json_object *object,
                         struct record *record, bool *drawn, struct fault *fault)
{
    struct user_text id;
    *drawn = !is_given(object, "id");
    if (*drawn) {
        uuid_random(&parser->ids, record->id);
        return true;
    }
    return get_text(object, "id", &id, fault) &&
           (uuid_parse(record->id, id.data, id.len) || fault_set(fault, "id must be a UUID"));
}

static bool take_created_at(struct json_object *object, const char *line, size_t len,
                            struct record *record, struct user_fields *fields, struct fault *fault)
{
    record->created_now = !is_given(object, "created_at");
    if (record->created_now) {
        fields->created_at = clock_real_coarse_s();
        return true;
    }
    struct json_object *created_at = get_field(object, "created_at", json_type_int, fault);
    if (created_at == NULL)
        return false;
    if (was_clamped(line, len, created_at))
        return fault_set(fault, "created_at does not fit 64 bits");
    fields->created_at = json_object_get_int64(created_at);
    return true;
}

/* Takes the five fields of format 1. */
static bool take_fields(struct record_parser *parser, struct json_object *object, const char *line,
                        size_t len, struct record *record, struct user_record *user,
                        struct user_record_room *room, struct fault *fault)
{
    struct user_fields *fields = &user->fields;
    bool drawn;
    if (!take_user_id(parser, object, record, &drawn, fault) ||
        !get_text(object, "username", &fields->username, fault))
        return false;
    if ((!drawn || is_given(object, "email")) && !get_text(object, "email", &fields->email, fault))
        return false;
    if (!take_created_at(object, line, len, record, fields, fault))
        return false;
    user->update_time = user_create_time(fields);
    fields->roles = room->roles;
    return (drawn && !is_given(object, "roles")) ||
           get_roles(object, room->roles, &fields->num_roles, fault);
}

static bool parse_user(struct record_parser *parser, struct json_object *object, const char *line,
                       size_t len, struct record *record, struct fault *fault)
{
    struct user_record_room room;
    struct user_record user = {.labels = room.labels};
    const char *reason;
    if (!check_field_names(object, fault) ||
        !take_fields(parser, object, line, len, record, &user, &room, fault) ||
        !take_given(object, record, &user, &room, fault))
        return false;
    if (!user_record_check(&user, &reason))
        return fault_set(fault, "%s", reason);
    if (parser->has_nul) /* no value of a user that passes the checks */
        return fault_set(fault, "a key contains U+0000");
    record->body_len = (uint32_t)user_body_encode(record->body, &user.fields);
    record->hidden_len = (uint32_t)user_hidden_encode(record->hidden, &user);
    assert(record->body_len <= sizeof(record->body));
    assert(record->hidden_len <= sizeof(record->hidden));
    return true;
}

/* Reads the header or the trailer of a dump. */
static bool parse_frame(struct json_object *object, struct json_object *format, uint64_t *users,
                        struct fault *fault)
{
    struct json_object *value = get_field(object, "users", json_type_int, fault);
    if (!json_object_is_type(format, json_type_int) || json_object_get_int64(format) < 1 ||
        json_object_get_int64(format) > RECORD_FORMAT)
        return fault_set(fault, "a dump of format %.32s; this program reads formats 1 to %d",
                         json_object_to_json_string(format), RECORD_FORMAT);
    if (value == NULL)
        return false;
    if (json_object_get_int64(value) < 0)
        return fault_set(fault, "users must not be negative");
    *users = json_object_get_uint64(value);
    return true;
}

static enum record_kind parse_row(struct record_parser *parser, const char *line, size_t len,
                                  struct record *record, struct fault *fault)
{
    if (!utf8_valid((const uint8_t *)line, len)) {
        fault_set(fault, "the line is not UTF-8");
        return RECORD_BAD;
    }
    struct json_object *object = record_columns_object(parser->columns, line, len, fault);
    if (object == NULL)
        return RECORD_BAD;
    parser->has_nul = false;
    bool good = parse_user(parser, object, line, len, record, fault);
    json_object_put(object);
    return good ? RECORD_USER : RECORD_BAD;
}

enum record_kind record_parse(struct record_parser *parser, const char *line, size_t len,
                              struct record *record, struct fault *fault)
{
    assert(len <= RECORD_LINE_MAX);
    if (parser->columns != NULL)
        return parse_row(parser, line, len, record, fault);
    struct json_object *object = parse_object(parser, line, len, fault), *format;
    if (object == NULL)
        return RECORD_BAD;
    enum record_kind kind = RECORD_USER;
    if (json_object_object_get_ex(object, "rosterd_dump", &format))
        kind = RECORD_HEADER;
    else if (json_object_object_get_ex(object, "rosterd_dump_end", &format))
        kind = RECORD_TRAILER;
    bool good = kind == RECORD_USER ? parse_user(parser, object, line, len, record, fault)
                                    : parse_frame(object, format, &parser->users, fault);
    json_object_put(object);
    return good ? kind : RECORD_BAD;
}
