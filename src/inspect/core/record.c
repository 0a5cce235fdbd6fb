/* SPDX-License-Identifier: MIT */
#include "inspect/core/record.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "inspect/core/text.h"
#include "shm/store.h"

_Static_assert((int)USER_BODY_MAX <= (int)SHM_BODY_MAX,
               "every user that is checked fits the store");

/* ---- writing ---- */

static void print(FILE *out, struct json_object *object)
{
    text_print_json(out, object);
    json_object_put(object);
}

static void put_number(struct json_object *object, const char *key, uint64_t value)
{
    json_object_object_add(object, key, json_object_new_uint64(value));
}

void record_print_header(FILE *out, const char *segment, uint64_t version, uint64_t users)
{
    struct json_object *object = json_object_new_object();

    put_number(object, "rosterd_dump", RECORD_FORMAT);
    json_object_object_add(object, "segment", text_json_string(segment, strlen(segment)));
    put_number(object, "version", version);
    put_number(object, "users", users);
    print(out, object);
}

void record_print_trailer(FILE *out, uint64_t users)
{
    struct json_object *object = json_object_new_object();

    put_number(object, "rosterd_dump_end", RECORD_FORMAT);
    put_number(object, "users", users);
    print(out, object);
}

/* Whether these fields are all that the body holds, byte for byte. */
static bool is_whole(const struct user_fields *fields, const uint8_t *body, uint32_t body_len)
{
    uint8_t again[SHM_BODY_MAX];

    return user_body_encode(again, fields) == body_len && memcmp(again, body, body_len) == 0;
}

static const char *check_stored(const struct user_fields *fields)
{
    if (fields->username.len == 0)
        return "it has no username";
    if (!text_is_utf8(fields->username.data, fields->username.len))
        return "its username is not UTF-8";
    if (!text_is_utf8(fields->email.data, fields->email.len))
        return "its email is not UTF-8";
    for (size_t i = 0; i < fields->num_roles; i++)
        if (!text_is_utf8(fields->roles[i].data, fields->roles[i].len))
            return "one of its roles is not UTF-8";
    return NULL;
}

static struct json_object *new_string(struct user_text text)
{
    const char *data = text.len != 0 ? (const char *)text.data : "";

    return json_object_new_string_len(data, (int)text.len);
}

const char *record_print(FILE *out, const uint8_t id[UUID_SIZE], const uint8_t *body,
                         uint32_t body_len)
{
    struct user_text stored_roles[USER_ROLES_MAX];
    struct user_fields fields;
    char id_text[UUID_TEXT_SIZE + 1];

    if (body_len > SHM_BODY_MAX || !user_body_decode(&fields, stored_roles, body, body_len))
        return "its body is no User message";
    const char *fault = check_stored(&fields);
    if (fault != NULL)
        return fault;
    if (!is_whole(&fields, body, body_len))
        return "its body has more in it than a user's fields";
    uuid_to_string(id_text, id);
    struct json_object *object = json_object_new_object();
    struct json_object *roles = json_object_new_array_ext((int)fields.num_roles);
    json_object_object_add(object, "id", json_object_new_string(id_text));
    json_object_object_add(object, "username", new_string(fields.username));
    json_object_object_add(object, "email", new_string(fields.email));
    json_object_object_add(object, "created_at", json_object_new_int64(fields.created_at));
    for (size_t i = 0; i < fields.num_roles; i++)
        json_object_array_add(roles, new_string(fields.roles[i]));
    json_object_object_add(object, "roles", roles);
    print(out, object);
    return NULL;
}

/* ---- reading ---- */

void record_parser_init(struct record_parser *parser)
{
    enum { DEPTH = 4 }; /* object, array, string, and one to spare */

    memset(parser, 0, sizeof(*parser));
    parser->tokener = json_tokener_new_ex(DEPTH);
    if (parser->tokener == NULL)
        abort(); /* out of memory */
    json_tokener_set_flags(parser->tokener, JSON_TOKENER_STRICT);
}

void record_parser_free(struct record_parser *parser)
{
    json_tokener_free(parser->tokener);
}

static bool fail(struct record_parser *parser, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static bool fail(struct record_parser *parser, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(parser->reason, sizeof(parser->reason), format, args);
    va_end(args);
    return false;
}

/* The four digits of a \u escape, or -1. */
static long escaped_unit(const char *at, const char *end)
{
    char digits[5] = {0}, *stop;

    if (end - at < 6 || at[0] != '\\' || at[1] != 'u')
        return -1;
    memcpy(digits, at + 2, 4);
    long unit = strtol(digits, &stop, 16);
    return stop == digits + 4 ? unit : -1;
}

/* json-c makes U+FFFD of half a pair, without a word: that would be a loss. */
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

static struct json_object *parse_object(struct record_parser *parser, const char *line, size_t len)
{
    if (!text_is_utf8(line, len)) {
        fail(parser, "the line is not UTF-8");
        return NULL;
    }
    if (!surrogates_are_paired(line, len)) {
        fail(parser, "half of a surrogate pair is no character");
        return NULL;
    }
    json_tokener_reset(parser->tokener);
    struct json_object *object = json_tokener_parse_ex(parser->tokener, line, (int)len);
    enum json_tokener_error error = json_tokener_get_error(parser->tokener);
    if (error == json_tokener_continue)
        fail(parser, "the line ends before its JSON object does");
    else if (error != json_tokener_success)
        fail(parser, "no JSON: %s at byte %zu", json_tokener_error_desc(error),
             json_tokener_get_parse_end(parser->tokener) + 1);
    else if (json_tokener_get_parse_end(parser->tokener) != len)
        fail(parser, "text after the JSON object"); /* behind a NUL */
    else if (!json_object_is_type(object, json_type_object))
        fail(parser, "no JSON object");
    else
        return object;
    json_object_put(object);
    return NULL;
}

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

/* The field, which must be there and of this type. */
static struct json_object *get(struct record_parser *parser, struct json_object *object,
                               const char *key, enum json_type type)
{
    struct json_object *value;

    if (!json_object_object_get_ex(object, key, &value)) {
        fail(parser, "%s is missing", key);
        return NULL;
    }
    if (json_object_is_type(value, type))
        return value;
    fail(parser, "%s must be %s", key, type_name(type));
    return NULL;
}

static struct user_text text_of(struct json_object *string)
{
    return (struct user_text){.data = (const uint8_t *)json_object_get_string(string),
                              .len = (size_t)json_object_get_string_len(string)};
}

static bool get_text(struct record_parser *parser, struct json_object *object, const char *key,
                     struct user_text *text)
{
    struct json_object *value = get(parser, object, key, json_type_string);

    if (value == NULL)
        return false;
    *text = text_of(value);
    return true;
}

/* json-c takes a number that is too large or too small for the largest or the smallest. */
static bool was_cut(const char *line, size_t len, struct json_object *number)
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

static bool get_roles(struct record_parser *parser, struct json_object *object,
                      struct user_text roles[USER_ROLES_MAX], size_t *count)
{
    struct json_object *array = get(parser, object, "roles", json_type_array);

    if (array == NULL)
        return false;
    *count = json_object_array_length(array);
    if (*count > USER_ROLES_MAX)
        return fail(parser, "there are more than %d roles", USER_ROLES_MAX);
    for (size_t i = 0; i < *count; i++) {
        struct json_object *role = json_object_array_get_idx(array, i);
        if (!json_object_is_type(role, json_type_string))
            return fail(parser, "roles must be an array of strings");
        roles[i] = text_of(role);
    }
    return true;
}

static bool check_keys(struct record_parser *parser, struct json_object *object)
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
            return fail(parser, "unknown field %.64s", key);
    }
    return true;
}

static bool read_user(struct record_parser *parser, struct json_object *object, const char *line,
                      size_t len, struct record *record)
{
    struct user_text id, roles[USER_ROLES_MAX];
    struct user_fields fields = {.roles = roles};

    if (!check_keys(parser, object) || !get_text(parser, object, "id", &id))
        return false;
    if (!uuid_parse(record->id, id.data, id.len))
        return fail(parser, "id must be a UUID");
    if (!get_text(parser, object, "username", &fields.username) ||
        !get_text(parser, object, "email", &fields.email))
        return false;
    struct json_object *created_at = get(parser, object, "created_at", json_type_int);
    if (created_at == NULL)
        return false;
    if (was_cut(line, len, created_at))
        return fail(parser, "created_at does not fit 64 bits");
    fields.created_at = json_object_get_int64(created_at);
    if (!get_roles(parser, object, roles, &fields.num_roles))
        return false;
    const char *fault = user_check(&fields);
    if (fault == NULL)
        fault = user_check_roles(&fields);
    if (fault != NULL)
        return fail(parser, "%s", fault);
    record->body_len = (uint32_t)user_body_encode(record->body, &fields);
    return true;
}

/* The first or last line of a dump. */
static bool read_frame(struct record_parser *parser, struct json_object *object,
                       struct json_object *format)
{
    struct json_object *users = get(parser, object, "users", json_type_int);

    if (!json_object_is_type(format, json_type_int) ||
        json_object_get_int64(format) != RECORD_FORMAT)
        return fail(parser, "a dump of format %.32s; this program reads format %d",
                    json_object_to_json_string(format), RECORD_FORMAT);
    if (users == NULL)
        return false;
    if (json_object_get_int64(users) < 0)
        return fail(parser, "users must not be negative");
    parser->users = json_object_get_uint64(users);
    return true;
}

enum record_kind record_parse(struct record_parser *parser, const char *line, size_t len,
                              struct record *record)
{
    struct json_object *object = parse_object(parser, line, len), *format;
    enum record_kind kind = RECORD_USER;
    bool good;

    if (object == NULL)
        return RECORD_BAD;
    if (json_object_object_get_ex(object, "rosterd_dump", &format))
        kind = RECORD_HEADER;
    else if (json_object_object_get_ex(object, "rosterd_dump_end", &format))
        kind = RECORD_TRAILER;
    if (kind == RECORD_USER)
        good = read_user(parser, object, line, len, record);
    else
        good = read_frame(parser, object, format);
    json_object_put(object);
    return good ? kind : RECORD_BAD;
}
