/* SPDX-License-Identifier: MIT */
#include "http2/hpack/hpack_decode.h"

#include <string.h>

#include "http2/hpack/hpack_huffman.h"

/* The characters that a name and a value may consist of (RFC 9110 5.1, 5.5; RFC 9113 8.2.1). */
enum { NAME = 1, VALUE = 2 };

static const uint8_t classes[256] = {
    ['\t'] = VALUE,
    [' '] = VALUE,
    ['!'] = NAME | VALUE,
    ['"'] = VALUE,
    ['#' ... '\''] = NAME | VALUE,
    ['(' ... ')'] = VALUE,
    ['*' ... '+'] = NAME | VALUE,
    [','] = VALUE,
    ['-' ... '.'] = NAME | VALUE,
    ['/'] = VALUE,
    ['0' ... '9'] = NAME | VALUE,
    [':' ... ']'] = VALUE, /* upper case is not allowed in names */
    ['^' ... 'z'] = NAME | VALUE,
    ['{'] = VALUE,
    ['|'] = NAME | VALUE,
    ['}'] = VALUE,
    ['~'] = NAME | VALUE,
    [0x80 ... 0xff] = VALUE,
};

static bool consists_of(const char *text, size_t len, uint8_t class)
{
    uint8_t all = class;
    for (size_t i = 0; i < len; i++)
        all &= classes[(uint8_t)text[i]];
    return all != 0;
}

static bool is_field_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* A leading colon is allowed here; section.c checks pseudo-header fields. */
static uint8_t faults_of_name(h2o_iovec_t name)
{
    size_t skip = name.len > 1 && name.base[0] == ':';
    return consists_of(name.base + skip, name.len - skip, NAME) ? 0 : HPACK_NAME_MALFORMED;
}

static uint8_t faults_of_value(h2o_iovec_t value)
{
    if (value.len != 0 &&
        (is_field_blank(value.base[0]) || is_field_blank(value.base[value.len - 1])))
        return HPACK_VALUE_MALFORMED;
    return consists_of(value.base, value.len, VALUE) ? 0 : HPACK_VALUE_MALFORMED;
}

/* An integer with a prefix of `bits` bits (RFC 7541 5.1). Four bytes behind the prefix are enough
 * for every length that fits into a block. @return false: it is longer, or cut off */
static bool take_int(const uint8_t **src, const uint8_t *end, unsigned bits, size_t *value)
{
    size_t prefix_max = ((size_t)1 << bits) - 1;
    if (*src == end)
        return false;
    *value = *(*src)++ & prefix_max;
    if (*value != prefix_max)
        return true;
    for (unsigned shift = 0; shift < 28 && *src != end; shift += 7) {
        uint8_t byte = *(*src)++;
        *value += (size_t)(byte & 127) << shift;
        if ((byte & 128) == 0)
            return true;
    }
    return false;
}

/* A string (RFC 7541 5.2). A Huffman-coded one takes its memory from the front of the room. */
static bool take_string(const uint8_t **src, const uint8_t *end, struct hpack_room *room,
                        h2o_iovec_t *text)
{
    bool huffman = *src != end && (**src & 128) != 0;
    size_t len;
    if (!take_int(src, end, 7, &len) || len > (size_t)(end - *src))
        return false;
    const uint8_t *from = *src;
    *src += len;
    *text = h2o_iovec_init(from, len);
    if (!huffman)
        return true;
    ssize_t decoded = hpack_huffman_decode(room->at, room->len, from, len);
    if (decoded < 0)
        return false;
    *text = h2o_iovec_init(room->at, (size_t)decoded);
    if (text->len > room->len) {
        text->base = NULL;
        return true;
    }
    room->at += decoded;
    room->len -= text->len;
    return true;
}

static enum hpack_result take_literal(struct hpack_table *table, const uint8_t **src,
                                      const uint8_t *end, struct hpack_room room, size_t name,
                                      struct hpack_field *field)
{
    *field = (struct hpack_field){.token = NULL};
    if (name != 0) {
        if (!hpack_table_get(table, name, field))
            return HPACK_BROKEN;
        field->faults &= HPACK_NAME_MALFORMED;
        if (field->token == NULL) { /* adding this field may evict the name's entry */
            field->name.base = memcpy(room.at, field->name.base, field->name.len);
            room.at += field->name.len;
            room.len -= field->name.len;
        }
    } else {
        if (!take_string(src, end, &room, &field->name))
            return HPACK_BROKEN;
        if (field->name.len == 0)
            return HPACK_EMPTY_NAME;
        if (field->name.base != NULL) {
            field->token = h2o_lookup_token(field->name.base, field->name.len);
            field->faults = field->token != NULL ? 0 : faults_of_name(field->name);
        }
    }
    if (!take_string(src, end, &room, &field->value))
        return HPACK_BROKEN;
    if (field->value.base != NULL)
        field->faults |= faults_of_value(field->value);
    return HPACK_FIELD;
}

enum hpack_result hpack_decode(struct hpack_table *table, const uint8_t **src, const uint8_t *end,
                               struct hpack_room room, struct hpack_field *field, bool *changed)
{
    uint8_t first = **src;
    /* RFC 7541 6: the number of prefix bits tells the kind of representation */
    unsigned bits = first >= 128 ? 7 : first >= 64 ? 6 : first >= 32 ? 5 : 4;
    size_t number;
    if (!take_int(src, end, bits, &number))
        return HPACK_BROKEN;
    if (bits == 7)
        return hpack_table_get(table, number, field) ? HPACK_FIELD : HPACK_BROKEN;
    if (bits == 5) {
        *changed = true;
        return hpack_table_resize(table, number) ? HPACK_SIZE_UPDATE : HPACK_BROKEN;
    }
    enum hpack_result result = take_literal(table, src, end, room, number, field);
    if (result != HPACK_FIELD || bits != 6)
        return result;
    *changed = true;
    return hpack_table_add(table, field) ? HPACK_FIELD : HPACK_NO_MEMORY;
}

bool hpack_skip(const struct hpack_table *table, const uint8_t **src, const uint8_t *end)
{
    const uint8_t *begin = *src;
    unsigned num = HPACK_STATIC_ENTRIES + table->count;
    if (num > 126)
        num = 126; /* the largest index that is one byte */
    while (*src != end && **src > 0x80 && **src <= (0x80 | num))
        (*src)++;
    return *src != begin;
}
