/* SPDX-License-Identifier: MIT */
/*
 * Fuzzes the parts of a stored user: two bytes with the body's length, the body, the hidden part.
 * What is decoded lies inside, encodes to no more bytes, and then stays the same; its labels are in
 * order. Filters, which read the parts in place, must agree with it where an encoder could have
 * written it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#include "fuzz.h"
#include "user/filter/filter.h"
#include "user/user_record.h"

static void die(const char *why)
{
    fprintf(stderr, "record: %s\n", why);
    abort();
}

struct parts {
    uint8_t *body, *hidden;
    size_t body_len, hidden_len;
};

static struct parts encode(const struct user_record *record, const struct parts *from)
{
    /* No more bytes than there were, for ASan; but an absent user name is written as an empty one.
     */
    struct parts to = {.body = malloc(from->body_len + 2),
                       .hidden = malloc(from->hidden_len + (from->hidden_len == 0))};
    struct user_fields fields = record->fields;
    if (fields.username.data == NULL)
        fields.username.data = to.body;
    to.body_len = user_body_encode(to.body, &fields);
    to.hidden_len = user_hidden_encode(to.hidden, record);
    if (to.body_len > from->body_len + 2 || to.hidden_len > from->hidden_len)
        die("encoding made it longer");
    return to;
}

static bool decode(struct user_record *record, struct user_record_room *room,
                   const struct parts *parts)
{
    return user_record_decode(record, room, parts->body, parts->body_len, parts->hidden,
                              parts->hidden_len);
}

static bool is_same(const struct parts *a, const struct parts *b)
{
    return a->body_len == b->body_len && a->hidden_len == b->hidden_len &&
           (a->body_len == 0 || memcmp(a->body, b->body, a->body_len) == 0) &&
           (a->hidden_len == 0 || memcmp(a->hidden, b->hidden, a->hidden_len) == 0);
}

static void check_inside(struct user_text text, const uint8_t *from, size_t len)
{
    if (text.len != 0 &&
        (text.data < from || text.len > len || (size_t)(text.data - from) > len - text.len))
        die("a text lies outside");
}

static void check_texts(const struct user_record *record, const struct parts *parts)
{
    check_inside(record->fields.username, parts->body, parts->body_len);
    check_inside(record->fields.email, parts->body, parts->body_len);
    for (size_t i = 0; i < record->fields.num_roles; i++)
        check_inside(record->fields.roles[i], parts->body, parts->body_len);
    for (size_t i = 0; i < record->num_labels; i++) {
        check_inside(record->labels[i].key, parts->hidden, parts->hidden_len);
        check_inside(record->labels[i].value, parts->hidden, parts->hidden_len);
    }
    check_inside(record->secret, parts->hidden, parts->hidden_len);
}

static void check_order(const struct user_record *record)
{
    for (size_t i = 1; i < record->num_labels; i++) {
        const struct user_text a = record->labels[i - 1].key, b = record->labels[i].key;
        const size_t len = MIN(a.len, b.len);
        const int order = len == 0 ? 0 : memcmp(a.data, b.data, len);
        if (order > 0 || (order == 0 && a.len > b.len))
            die("labels are out of order");
    }
}

static bool matches(const char *text, const struct parts *parts)
{
    struct filter *filter;
    struct fault fault;
    if (filter_parse(&filter, text, strlen(text), &fault) != FILTER_OK)
        die(fault.text);
    bool result = filter_match(filter, parts->body, (uint32_t)parts->body_len, parts->hidden,
                               (uint32_t)parts->hidden_len);
    free(filter);
    return result;
}

static void check_filters(const struct user_record *record, const struct parts *parts)
{
    bool label = false, value = false, role = false;
    for (size_t i = 0; i < record->num_labels; i++) {
        if (label || record->labels[i].key.len != 1 || record->labels[i].key.data[0] != 'k')
            continue;
        label = true;
        value = record->labels[i].value.len == 1 && record->labels[i].value.data[0] == 'v';
    }
    for (size_t i = 0; i < record->fields.num_roles; i++)
        role = role || (record->fields.roles[i].len >= 1 && record->fields.roles[i].data[0] == 'a');
    if (matches("disabled", parts) != record->disabled ||
        matches("has_password", parts) != (record->secret.len != 0) ||
        matches("username:*", parts) != (record->fields.username.len != 0) ||
        matches("email = \"\"", parts) != (record->fields.email.len == 0) ||
        matches("labels.k:*", parts) != label || matches("labels.k = v", parts) != value ||
        matches("roles:a*", parts) != role ||
        matches("create_time > 1970-01-01T00:00:00Z", parts) != (record->fields.created_at > 0) ||
        matches("update_time > 1970-01-01T00:00:00Z", parts) != (record->update_time > 0))
        die("a filter says something else than the record");
}

static void check_bounds(const struct user_record *record, const struct parts *parts)
{
    const char *reason = NULL;
    if (user_record_check(record, &reason)
            ? parts->body_len + parts->hidden_len > USER_RECORD_MAX || record->num_labels > 32
            : reason == NULL)
        die("the check is wrong");
}

static void check_parts(const struct parts *parts)
{
    struct user_record record, again;
    struct user_record_room room, again_room;
    (void)matches("labels.k = v OR roles:x OR update_time < 1970-01-01T00:00:00Z", parts);
    if (!decode(&record, &room, parts))
        return;
    check_texts(&record, parts);
    struct parts first = encode(&record, parts);
    if (!decode(&again, &again_room, &first))
        die("what was encoded cannot be decoded");
    check_order(&again);
    check_bounds(&again, &first);
    struct parts second = encode(&again, &first);
    if (!is_same(&first, &second))
        die("encoding is not stable");
    check_filters(&again, &first);
    free(first.body);
    free(first.hidden);
    free(second.body);
    free(second.hidden);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len < 2)
        return 0;
    const size_t rest = len - 2, wanted = (size_t)data[0] << 8 | data[1];
    struct parts parts = {.body_len = MIN(wanted, rest)};
    parts.hidden_len = rest - parts.body_len;
    /* Of their own, so that ASan finds what reads past the body. */
    parts.body = malloc(parts.body_len + (parts.body_len == 0));
    parts.hidden = malloc(parts.hidden_len + (parts.hidden_len == 0));
    memcpy(parts.body, data + 2, parts.body_len);
    memcpy(parts.hidden, data + 2 + parts.body_len, parts.hidden_len);
    check_parts(&parts);
    free(parts.body);
    free(parts.hidden);
    return 0;
}
