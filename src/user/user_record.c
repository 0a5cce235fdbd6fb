/* SPDX-License-Identifier: MIT */
#include "user/user_record.h"

#include "user/reason.h"
#include "user/user_tags.h"
#include "user/wire.h"

/* ---- checks ---- */

/* Every kind of hash that crypt(5) and Argon2 know is a text of visible ASCII characters. */
static bool check_secret(struct user_text secret, const char **reason)
{
    if (secret.len > USER_SECRET_MAX)
        return give_reason(reason, "password_hash is longer than 512 bytes");
    for (size_t i = 0; i < secret.len; i++)
        if (secret.data[i] <= 0x20 || secret.data[i] >= 0x7f)
            return give_reason(reason, "password_hash contains a space, a control character or a "
                                       "character that is not ASCII");
    return true;
}

bool user_record_check(const struct user_record *record, const char **reason)
{
    uint8_t body[USER_BODY_MAX], hidden[USER_HIDDEN_MAX];
    if (!user_check(&record->fields, reason) || !user_check_roles(&record->fields, reason) ||
        !user_check_labels(record->labels, record->num_labels, reason) ||
        !check_secret(record->secret, reason))
        return false;
    /* Without the secret: no copy of it stays on the stack. */
    struct user_record open = *record;
    open.secret.len = 0;
    size_t size = user_body_encode(body, &open.fields) + user_hidden_encode(hidden, &open);
    if (record->secret.len != 0)
        size += wire_bytes_size(record->secret.len);
    /* Each field alone is within its bound. */
    return size <= USER_RECORD_MAX ||
           give_reason(reason, "roles, labels, password_hash and the other fields are longer than "
                               "4000 bytes together");
}

/* ---- the hidden part ---- */

size_t user_hidden_encode(uint8_t *out, const struct user_record *record)
{
    uint8_t *p = out;
    if (record->disabled) {
        *p++ = USER_TAG_DISABLED;
        *p++ = true;
    }
    if (record->update_time != user_create_time(&record->fields))
        p = wire_put_fixed64(p, USER_TAG_UPDATE_TIME, (uint64_t)record->update_time);
    p = user_labels_encode(p, record->labels, record->num_labels);
    p += user_hidden_add_secret(p, record->secret);
    return (size_t)(p - out);
}

size_t user_hidden_add_secret(uint8_t *end, struct user_text secret)
{
    if (secret.len == 0)
        return 0;
    return (size_t)(wire_put_bytes(end, USER_TAG_SECRET, secret.data, secret.len) - end);
}

/* @return false: it is a label that cannot be read, or one too many */
static bool take_hidden_field(struct user_record *record, struct user_label *labels,
                              const struct wire_field *field)
{
    switch (field->tag) {
    case USER_TAG_DISABLED:
        record->disabled = field->value != 0;
        return true;
    case USER_TAG_UPDATE_TIME:
        record->update_time = (int64_t)wire_get_fixed64(field->bytes);
        return true;
    case USER_TAG_LABELS:
        return record->num_labels != USER_LABELS_MAX &&
               user_label_decode(&labels[record->num_labels++], field->bytes, field->value);
    case USER_TAG_SECRET:
        record->secret = (struct user_text){.data = field->bytes, .len = field->value};
        return true;
    default:
        return true;
    }
}

bool user_record_decode(struct user_record *record, struct user_record_room *room,
                        const uint8_t *body, size_t body_len, const uint8_t *hidden,
                        size_t hidden_len)
{
    *record = (struct user_record){.labels = room->labels};
    if (!user_body_decode(&record->fields, room->roles, body, body_len))
        return false;
    record->update_time = user_create_time(&record->fields);
    if (hidden_len == 0)
        return true;
    struct wire_reader reader = {.at = hidden, .end = hidden + hidden_len};
    struct wire_field field;
    while (wire_next(&reader, &field))
        if (!take_hidden_field(record, room->labels, &field))
            return false;
    return reader.at == reader.end;
}
