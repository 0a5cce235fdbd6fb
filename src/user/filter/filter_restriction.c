/* SPDX-License-Identifier: MIT */
#include "user/filter/filter_restriction.h"

#include <string.h>

#include "base/rfc3339.h"
#include "base/spelling.h"
#include "user/labels.h"
#include "user/user_record.h"

enum field_kind { FIELD_TEXT, FIELD_FLAG, FIELD_TIME, FIELD_ROLES, FIELD_LABELS };

struct filter_field {
    const char *name;
    enum field_kind kind;
    enum filter_test test;
};

static const struct filter_field filter_fields[] = {
    {"username", FIELD_TEXT, FILTER_TEST_USERNAME},
    {"email", FIELD_TEXT, FILTER_TEST_EMAIL},
    {"roles", FIELD_ROLES, FILTER_TEST_ROLE},
    {"labels", FIELD_LABELS, FILTER_TEST_LABEL_KEY},
    {"disabled", FIELD_FLAG, FILTER_TEST_DISABLED},
    {"has_password", FIELD_FLAG, FILTER_TEST_HAS_PASSWORD},
    {"create_time", FIELD_TIME, FILTER_TEST_CREATE_TIME},
    {"update_time", FIELD_TIME, FILTER_TEST_UPDATE_TIME},
};
enum { FILTER_FIELDS = sizeof(filter_fields) / sizeof(*filter_fields) };

/* ---- fields ---- */

static const char *field_name_at(size_t index)
{
    return filter_fields[index].name;
}

static bool unknown_field(struct filter_lexer *lexer, size_t at, size_t len)
{
    char name[SPELLING_MAX + 1];
    const bool cut = len > SPELLING_MAX;
    len = cut ? SPELLING_MAX : len;
    memcpy(name, lexer->text + at, len);
    name[len] = '\0';
    if (filter_take(lexer, '('))
        return filter_wrong(lexer, at, "there is no function %s: a filter has none", name);
    const size_t near = cut ? FILTER_FIELDS : spelling_nearest(name, FILTER_FIELDS, field_name_at);
    if (near != FILTER_FIELDS)
        return filter_wrong(lexer, at, "unknown field %s; did you mean %s?", name,
                            filter_fields[near].name);
    return filter_wrong(lexer, at,
                        "unknown field %s%s; the fields are username, email, roles, labels, "
                        "disabled, has_password, create_time and update_time",
                        name, cut ? "..." : "");
}

static bool is_keyword(const uint8_t *name, size_t len)
{
    return (len == 2 && memcmp(name, "OR", 2) == 0) ||
           (len == 3 && (memcmp(name, "AND", 3) == 0 || memcmp(name, "NOT", 3) == 0));
}

/* @return NULL, with a fault: no field's name is there */
static const struct filter_field *take_field(struct filter_lexer *lexer)
{
    const size_t len = filter_take_name(lexer), at = lexer->at - len;
    const uint8_t *name = lexer->text + at;
    if (len == 0 || is_keyword(name, len)) {
        lexer->at = at;
        (void)filter_expected(lexer, "a field");
        return NULL;
    }
    for (size_t i = 0; i < FILTER_FIELDS; i++)
        if (len == strlen(filter_fields[i].name) && memcmp(name, filter_fields[i].name, len) == 0)
            return &filter_fields[i];
    (void)unknown_field(lexer, at, len);
    return NULL;
}

/* ---- values ---- */

static bool wrong_operator(struct filter_lexer *lexer, enum filter_operator op, const char *name,
                           const char *takes)
{
    const char *text = filter_operator_text(op);
    return filter_wrong(lexer, lexer->at - strlen(text), "%s does not apply to %s: %s", text, name,
                        takes);
}

static struct filter_text filter_text_of(const struct filter_value *value)
{
    return (struct filter_text){
        .at = value->at, .len = value->len, .exact = value->len, .prefix = value->prefix};
}

static bool is_any(const struct filter_value *value)
{
    return value->prefix && value->len == 0;
}

/* Reads the text after = or !=. */
static bool take_compared_text(struct filter_lexer *lexer, struct filter_text *text)
{
    struct filter_value value;
    if (!filter_take_value(lexer, &value))
        return false;
    if (is_any(&value))
        return filter_wrong(lexer, value.position,
                            "an asterisk alone is compared by the operator : only");
    *text = filter_text_of(&value);
    return true;
}

/* The domain of an e-mail is compared as its unique key is: in lower case. */
static void fold_email(struct filter_lexer *lexer, struct filter_text *text)
{
    uint8_t key[USER_KEY_MAX], *bytes = lexer->texts + text->at;
    const uint8_t *at = memrchr(bytes, '@', text->len);
    const struct user_text email = {.data = bytes, .len = text->len};
    const uint32_t len = user_key_of_text(USER_KEY_EMAIL, email, key);
    memcpy(bytes, key, len);
    if (at != NULL && len != 0)
        text->exact = (uint16_t)(at + 1 - bytes);
}

/* NAME:*, which asks whether there is a text: NAME != "". */
static bool take_presence(struct filter_lexer *lexer, const char *name, struct filter_term *term)
{
    struct filter_value value;
    if (!filter_take_value(lexer, &value))
        return false;
    if (!is_any(&value))
        return filter_wrong(lexer, value.position, "%s is no list: use %s = TEXT, or %s:*", name,
                            name, name);
    term->unequal = true;
    return true;
}

static bool take_text_test(struct filter_lexer *lexer, const struct filter_field *field,
                           enum filter_operator op, struct filter_term *term)
{
    if (op == FILTER_HAS)
        return take_presence(lexer, field->name, term);
    if (op != FILTER_EQUAL && op != FILTER_UNEQUAL)
        return wrong_operator(lexer, op, field->name, "use = or !=");
    if (!take_compared_text(lexer, &term->text))
        return false;
    if (field->test == FILTER_TEST_EMAIL)
        fold_email(lexer, &term->text);
    term->unequal = op == FILTER_UNEQUAL;
    return true;
}

static bool take_flag_test(struct filter_lexer *lexer, const struct filter_field *field,
                           enum filter_operator op, struct filter_term *term)
{
    struct filter_value value;
    if (op == FILTER_NO_OPERATOR)
        return true;
    if (op != FILTER_EQUAL && op != FILTER_UNEQUAL)
        return wrong_operator(lexer, op, field->name, "use = or !=");
    if (!filter_take_value(lexer, &value))
        return false;
    const bool yes = filter_value_is(lexer, &value, "true");
    if (!yes && !filter_value_is(lexer, &value, "false"))
        return filter_wrong(lexer, value.position, "%s is true or false, without quotes",
                            field->name);
    term->unequal = yes == (op == FILTER_UNEQUAL);
    lexer->texts_len = value.at;
    return true;
}

/* ---- times ---- */

static bool take_time(struct filter_lexer *lexer, const char *name, int64_t *nanoseconds)
{
    struct filter_value value;
    int64_t seconds;
    uint32_t fraction;
    if (!filter_take_value(lexer, &value))
        return false;
    if (value.prefix || !rfc3339_parse(lexer->texts + value.at, value.len, &seconds, &fraction))
        return filter_wrong(lexer, value.position,
                            "%s is compared with a time of RFC 3339, for example "
                            "2026-01-31T12:00:00Z",
                            name);
    lexer->texts_len = value.at;
    if (__builtin_add_overflow(user_nanoseconds(seconds), fraction, nanoseconds))
        *nanoseconds = INT64_MAX;
    return true;
}

static void set_range(struct filter_term *term, enum filter_operator op, int64_t time)
{
    const bool below = op == FILTER_LESS || op == FILTER_LESS_OR_EQUAL;
    const bool above = op == FILTER_GREATER || op == FILTER_GREATER_OR_EQUAL;
    const bool open = op == FILTER_LESS || op == FILTER_GREATER;
    term->low = below ? INT64_MIN : time;
    term->high = above ? INT64_MAX : time;
    term->unequal = op == FILTER_UNEQUAL;
    if (open && time == (below ? INT64_MIN : INT64_MAX)) {
        term->low = INT64_MAX; /* nothing is below the least time or above the greatest */
        term->high = INT64_MIN;
    } else if (open) {
        term->low += above;
        term->high -= below;
    }
}

static bool take_time_test(struct filter_lexer *lexer, const struct filter_field *field,
                           enum filter_operator op, struct filter_term *term)
{
    int64_t time = 0;
    if (op == FILTER_HAS)
        return wrong_operator(lexer, op, field->name, "use =, !=, <, <=, > or >=");
    if (!take_time(lexer, field->name, &time))
        return false;
    set_range(term, op, time);
    return true;
}

/* ---- roles and labels ---- */

static bool take_element(struct filter_lexer *lexer, struct filter_text *text)
{
    struct filter_value value;
    if (!filter_take_value(lexer, &value))
        return false;
    *text = filter_text_of(&value);
    return true;
}

static bool take_roles_test(struct filter_lexer *lexer, const struct filter_field *field,
                            enum filter_operator op, struct filter_term *term)
{
    if (op != FILTER_HAS)
        return wrong_operator(lexer, op, field->name, "use roles:\"ROLE\"");
    return take_element(lexer, &term->text);
}

/* Refuses a key that no label can have, so that a mistyped one is not taken for a rare one. */
static bool check_key(struct filter_lexer *lexer, const struct filter_value *value)
{
    const char *reason;
    const struct user_text key = {.data = lexer->texts + value->at, .len = value->len};
    return user_check_label_key(key, &reason) || filter_wrong(lexer, value->position, "%s", reason);
}

static bool take_labels_test(struct filter_lexer *lexer, const struct filter_field *field,
                             enum filter_operator op, struct filter_term *term)
{
    struct filter_value value;
    if (op != FILTER_HAS)
        return wrong_operator(lexer, op, field->name, "use labels:KEY or labels.KEY = TEXT");
    if (!filter_take_value(lexer, &value))
        return false;
    term->text = filter_text_of(&value);
    return value.prefix || check_key(lexer, &value);
}

static bool take_key(struct filter_lexer *lexer, struct filter_text *key)
{
    struct filter_value value;
    if (!filter_take_key(lexer, &value))
        return false;
    if (value.prefix)
        return filter_wrong(lexer, value.position, "the key of labels.KEY takes no asterisk");
    *key = filter_text_of(&value);
    return check_key(lexer, &value);
}

static bool take_label_test(struct filter_lexer *lexer, enum filter_operator op,
                            struct filter_term *term)
{
    term->test = FILTER_TEST_LABEL;
    if (op == FILTER_HAS)
        return take_element(lexer, &term->text);
    if (op != FILTER_EQUAL && op != FILTER_UNEQUAL)
        return wrong_operator(lexer, op, "a label", "use =, != or :");
    term->unequal = op == FILTER_UNEQUAL;
    return take_compared_text(lexer, &term->text);
}

/* ---- all of it ---- */

static bool take_test(struct filter_lexer *lexer, const struct filter_field *field, bool label,
                      struct filter_term *term)
{
    const enum filter_operator op = filter_take_operator(lexer);
    if (op == FILTER_NO_OPERATOR && field->kind != FIELD_FLAG)
        return filter_expected(lexer, "an operator");
    switch (field->kind) {
    case FIELD_TEXT:
        return take_text_test(lexer, field, op, term);
    case FIELD_FLAG:
        return take_flag_test(lexer, field, op, term);
    case FIELD_TIME:
        return take_time_test(lexer, field, op, term);
    case FIELD_ROLES:
        return take_roles_test(lexer, field, op, term);
    case FIELD_LABELS:
        break;
    }
    return label ? take_label_test(lexer, op, term) : take_labels_test(lexer, field, op, term);
}

bool filter_take_restriction(struct filter_lexer *lexer, struct filter_term *term)
{
    const struct filter_field *field = take_field(lexer);
    if (field == NULL)
        return false;
    *term = (struct filter_term){.test = (uint8_t)field->test};
    const bool dot = filter_take(lexer, '.');
    if (dot && field->kind != FIELD_LABELS)
        return filter_wrong(lexer, lexer->at - 1, "%s has no fields", field->name);
    if (dot && !take_key(lexer, &term->key))
        return false;
    return take_test(lexer, field, dot, term);
}
