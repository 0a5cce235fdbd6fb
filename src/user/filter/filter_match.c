/* SPDX-License-Identifier: MIT */
/* A scan calls filter_match() for millions of users a second. Each test reads the user's fields
 * from the first on and stops at its own: encoders write them in ascending order. */
#include <string.h>

#include "user/filter/filter.h"
#include "user/filter/filter_program.h"
#include "user/user_record.h"
#include "user/user_tags.h"
#include "user/wire.h"

struct filter_bytes {
    const uint8_t *data;
    size_t len;
};

static inline uint8_t to_lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

static bool text_matches(const struct filter_text *text, const uint8_t *wanted,
                         const uint8_t *bytes, size_t len)
{
    if (text->prefix ? len < text->len : len != text->len)
        return false;
    wanted += text->at;
    if (text->exact != 0 && memcmp(bytes, wanted, text->exact) != 0)
        return false;
    for (size_t i = text->exact; i < text->len; i++)
        if (to_lower(bytes[i]) != wanted[i])
            return false;
    return true;
}

/* @return false: there is no such field; *field is then empty, and 0 */
static inline bool find_field(struct filter_bytes part, uint64_t tag, struct wire_field *field)
{
    struct wire_reader reader = {.at = part.data, .end = part.data + part.len};
    while (wire_next(&reader, field) && field->tag <= tag)
        if (field->tag == tag)
            return true;
    *field = (struct wire_field){.bytes = (const uint8_t *)""};
    return false;
}

/* An absent text is empty, as in proto3. */
static bool body_text_matches(const struct filter_term *term, const uint8_t *texts,
                              struct filter_bytes body, uint64_t tag)
{
    struct wire_field field;
    (void)find_field(body, tag, &field);
    return text_matches(&term->text, texts, field.bytes, field.value) != term->unequal;
}

static bool role_matches(const struct filter_term *term, const uint8_t *texts,
                         struct filter_bytes body)
{
    struct wire_reader reader = {.at = body.data, .end = body.data + body.len};
    struct wire_field field;
    while (wire_next(&reader, &field) && field.tag <= USER_TAG_ROLES)
        if (field.tag == USER_TAG_ROLES &&
            text_matches(&term->text, texts, field.bytes, field.value))
            return true;
    return false;
}

static bool label_value_matches(const struct filter_term *term, const uint8_t *texts,
                                struct filter_bytes label)
{
    struct wire_field value;
    (void)find_field(label, USER_TAG_LABEL_VALUE, &value);
    return text_matches(&term->text, texts, value.bytes, value.value) != term->unequal;
}

/* Most labels have another key, so the value is looked for behind the right one alone. */
static bool label_matches(const struct filter_term *term, const uint8_t *texts,
                          struct filter_bytes hidden)
{
    struct wire_reader reader = {.at = hidden.data, .end = hidden.data + hidden.len};
    struct wire_field field, key;
    const bool any_key = term->test == FILTER_TEST_LABEL_KEY;
    const struct filter_text *wanted = any_key ? &term->text : &term->key;
    while (wire_next(&reader, &field) && field.tag <= USER_TAG_LABELS) {
        const struct filter_bytes label = {.data = field.bytes, .len = field.value};
        if (field.tag == USER_TAG_LABELS && find_field(label, USER_TAG_LABEL_KEY, &key) &&
            text_matches(wanted, texts, key.bytes, key.value))
            return any_key || label_value_matches(term, texts, label);
    }
    return false;
}

static int64_t body_create_time(struct filter_bytes body)
{
    struct wire_field field;
    (void)find_field(body, USER_TAG_CREATED_AT, &field);
    return user_nanoseconds((int64_t)field.value);
}

static bool time_matches(const struct filter_term *term, struct filter_bytes body,
                         struct filter_bytes hidden)
{
    struct wire_field field;
    int64_t time =
        term->test == FILTER_TEST_UPDATE_TIME && find_field(hidden, USER_TAG_UPDATE_TIME, &field)
            ? (int64_t)wire_get_fixed64(field.bytes)
            : body_create_time(body);
    return (time >= term->low && time <= term->high) != term->unequal;
}

static bool term_matches(const struct filter_term *term, const uint8_t *texts,
                         struct filter_bytes body, struct filter_bytes hidden)
{
    struct wire_field field;
    switch ((enum filter_test)term->test) {
    case FILTER_TEST_USERNAME:
        return body_text_matches(term, texts, body, USER_TAG_USERNAME);
    case FILTER_TEST_EMAIL:
        return body_text_matches(term, texts, body, USER_TAG_EMAIL);
    case FILTER_TEST_ROLE:
        return role_matches(term, texts, body);
    case FILTER_TEST_LABEL_KEY:
    case FILTER_TEST_LABEL:
        return label_matches(term, texts, hidden);
    case FILTER_TEST_DISABLED:
        return (find_field(hidden, USER_TAG_DISABLED, &field) && field.value != 0) != term->unequal;
    case FILTER_TEST_HAS_PASSWORD:
        return (find_field(hidden, USER_TAG_SECRET, &field) && field.value != 0) != term->unequal;
    case FILTER_TEST_CREATE_TIME:
    case FILTER_TEST_UPDATE_TIME:
        return time_matches(term, body, hidden);
    }
    return false;
}

bool filter_match(const struct filter *filter, const uint8_t *body, uint32_t body_len,
                  const uint8_t *hidden, uint32_t hidden_len)
{
    const uint8_t *texts = filter_texts(filter);
    const struct filter_bytes of_body = {.data = body, .len = body_len};
    const struct filter_bytes of_hidden = {.data = hidden, .len = hidden_len};
    uint8_t at = filter->first;
    while (at < FILTER_REJECT) {
        const struct filter_term *term = &filter->terms[at];
        at = term_matches(term, texts, of_body, of_hidden) ? term->yes : term->no;
    }
    return at == FILTER_ACCEPT;
}

bool filter_key(const struct filter *filter, enum user_key *key, struct user_text *text)
{
    if (filter->key == FILTER_NO_KEY)
        return false;
    const struct filter_term *term = &filter->terms[filter->key];
    *key = term->test == FILTER_TEST_USERNAME ? USER_KEY_USERNAME : USER_KEY_EMAIL;
    *text = (struct user_text){.data = filter_texts(filter) + term->text.at, .len = term->text.len};
    return true;
}
