/* SPDX-License-Identifier: MIT */
#include "user/labels.h"

#include <assert.h>
#include <string.h>
#include <sys/param.h>

#include "base/utf8.h"
#include "user/reason.h"
#include "user/user_tags.h"
#include "user/wire.h"

/* ---- checks ---- */

static bool is_lower_alnum(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alnum(uint8_t c)
{
    return is_lower_alnum(c) || (c >= 'A' && c <= 'Z');
}

static bool is_label_name(struct user_text name)
{
    for (size_t i = 0; i < name.len; i++) {
        const uint8_t c = name.data[i];
        const bool inside = i != 0 && i + 1 != name.len;
        if (!is_alnum(c) && !(inside && (c == '-' || c == '_' || c == '.')))
            return false;
    }
    return name.len != 0;
}

/* Parts of letters, digits and '-', with a letter or a digit at both ends, and dots between. */
static bool is_subdomain(struct user_text text)
{
    uint8_t before = '.';
    for (size_t i = 0; i < text.len; i++) {
        const uint8_t c = text.data[i];
        if (c == '.' ? !is_lower_alnum(before) : !is_lower_alnum(c) && !(c == '-' && before != '.'))
            return false;
        before = c;
    }
    return is_lower_alnum(before);
}

bool user_check_label_key(struct user_text key, const char **reason)
{
    struct user_text name = key;
    const uint8_t *slash = key.len == 0 ? NULL : memchr(key.data, '/', key.len);
    if (slash != NULL) {
        const struct user_text prefix = {.data = key.data, .len = (size_t)(slash - key.data)};
        if (prefix.len > USER_LABEL_PREFIX_MAX)
            return give_reason(reason, "labels: the prefix of a key is longer than 253 bytes");
        if (!is_subdomain(prefix))
            return give_reason(reason, "labels: the prefix of a key must be a DNS subdomain in "
                                       "lower case");
        name.data = slash + 1;
        name.len = key.len - prefix.len - 1;
    }
    if (name.len == 0)
        return give_reason(reason, "labels: a key has no name");
    if (name.len > USER_LABEL_NAME_MAX)
        return give_reason(reason, "labels: the name of a key is longer than 63 bytes");
    if (!is_label_name(name))
        return give_reason(reason, "labels: the name of a key must be of letters, digits, '-', '_' "
                                   "and '.', with a letter or a digit at both ends");
    return true;
}

static bool check_label_value(struct user_text value, const char **reason)
{
    for (size_t i = 0; i < value.len; i++)
        if (value.data[i] < 0x20 || value.data[i] == 0x7f)
            return give_reason(reason, "labels: a value contains an ASCII control character");
    if (!utf8_valid(value.data, value.len))
        return give_reason(reason, "labels: a value is not UTF-8");
    return true;
}

bool user_check_labels(const struct user_label *labels, size_t count, const char **reason)
{
    size_t bytes = 0;
    if (count > USER_LABELS_MAX)
        return give_reason(reason, "labels are more than 32");
    for (size_t i = 0; i < count; i++) {
        if (!user_check_label_key(labels[i].key, reason) ||
            !check_label_value(labels[i].value, reason))
            return false;
        for (size_t k = 0; k < i; k++)
            if (user_text_equal(labels[i].key, labels[k].key))
                return give_reason(reason, "labels: a key is named twice");
        bytes += labels[i].key.len + labels[i].value.len;
    }
    if (bytes > USER_LABELS_BYTES_MAX)
        return give_reason(reason, "labels are longer than 1024 bytes in all");
    return true;
}

/* ---- the wire format ---- */

static bool key_is_less(struct user_text a, struct user_text b)
{
    const size_t len = MIN(a.len, b.len);
    const int order = len == 0 ? 0 : memcmp(a.data, b.data, len);
    return order != 0 ? order < 0 : a.len < b.len;
}

/* Sets `order` to the labels' indexes, in the order of their keys. Insertion is fastest for what is
 * mostly in order already. */
static void sort_labels(uint8_t order[USER_LABELS_MAX], const struct user_label *labels,
                        size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t at = i;
        for (; at != 0 && key_is_less(labels[i].key, labels[order[at - 1]].key); at--)
            order[at] = order[at - 1];
        order[at] = (uint8_t)i;
    }
}

static size_t optional_size(struct user_text text)
{
    return text.len == 0 ? 0 : wire_bytes_size(text.len);
}

uint8_t *user_labels_encode(uint8_t *out, const struct user_label *labels, size_t count)
{
    uint8_t order[USER_LABELS_MAX];
    assert(count <= USER_LABELS_MAX);
    sort_labels(order, labels, count);
    for (size_t i = 0; i < count; i++) {
        const struct user_label *label = &labels[order[i]];
        *out++ = USER_TAG_LABELS;
        out = wire_put_varint(out, optional_size(label->key) + optional_size(label->value));
        if (label->key.len != 0)
            out = wire_put_bytes(out, USER_TAG_LABEL_KEY, label->key.data, label->key.len);
        if (label->value.len != 0)
            out = wire_put_bytes(out, USER_TAG_LABEL_VALUE, label->value.data, label->value.len);
    }
    return out;
}

bool user_label_decode(struct user_label *label, const uint8_t *bytes, size_t len)
{
    struct wire_reader reader = {.at = bytes, .end = bytes + len};
    struct wire_field field;
    *label = (struct user_label){0};
    while (wire_next(&reader, &field)) {
        const struct user_text text = {.data = field.bytes, .len = field.value};
        if (field.tag == USER_TAG_LABEL_KEY)
            label->key = text;
        else if (field.tag == USER_TAG_LABEL_VALUE)
            label->value = text;
    }
    return reader.at == reader.end;
}
