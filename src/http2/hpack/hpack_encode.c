/* SPDX-License-Identifier: MIT */
#include "http2/hpack/hpack_encode.h"

#include <assert.h>
#include <string.h>

enum {
    TABLE_SIZE_MAX = 4096, /* the default; our few interned fields fit */
    TABLE_SIZE_MIN = 128,  /* a smaller table is not used */
    ENTRY_OVERHEAD = 32,   /* RFC 7541 4.1 */
    INT_BOUND = 6,         /* upper bound of the bytes of an integer that we write */
};

void hpack_encoder_init(struct hpack_encoder *encoder)
{
    *encoder = (struct hpack_encoder){.capacity = TABLE_SIZE_MAX};
}

void hpack_encoder_resize(struct hpack_encoder *encoder, uint32_t peer_size)
{
    uint32_t capacity = peer_size < TABLE_SIZE_MIN   ? 0
                        : peer_size < TABLE_SIZE_MAX ? peer_size
                                                     : TABLE_SIZE_MAX;
    if (capacity == encoder->capacity)
        return;
    *encoder = (struct hpack_encoder){.capacity = capacity, .update = true};
}

/* RFC 7541 5.1: an integer with a prefix of `bits` bits; `pattern` fills the bits above it. */
static uint8_t *put_int(uint8_t *dst, uint8_t pattern, unsigned bits, size_t value)
{
    size_t prefix_max = ((size_t)1 << bits) - 1;
    if (value < prefix_max) {
        *dst++ = (uint8_t)(pattern | value);
        return dst;
    }
    *dst++ = (uint8_t)(pattern | prefix_max);
    for (value -= prefix_max; value >= 128; value >>= 7)
        *dst++ = (uint8_t)(value | 128);
    *dst++ = (uint8_t)value;
    return dst;
}

static uint8_t *put_string(uint8_t *dst, const char *s, size_t len)
{
    dst = put_int(dst, 0, 7, len);
    if (len != 0)
        memcpy(dst, s, len);
    return dst + len;
}

static uint8_t *put_status(uint8_t *dst, unsigned status)
{
    static const uint16_t in_static_table[] = {200, 204, 206, 304, 400, 404, 500};
    for (uint8_t i = 0; i != sizeof(in_static_table) / sizeof(in_static_table[0]); i++) {
        if (in_static_table[i] == status) {
            *dst++ = (uint8_t)(0x80 | (HPACK_INDEX_STATUS_200 + i));
            return dst;
        }
    }
    assert(status >= 200 && status <= 599);
    *dst++ = HPACK_INDEX_STATUS_200; /* literal without indexing, name by index */
    *dst++ = 3;
    *dst++ = (uint8_t)('0' + status / 100 % 10);
    *dst++ = (uint8_t)('0' + status / 10 % 10);
    *dst++ = (uint8_t)('0' + status % 10);
    return dst;
}

/* Two updates: the first one, to 0, empties the peer's table. */
static uint8_t *put_size_update(struct hpack_encoder *encoder, uint8_t *dst)
{
    encoder->update = false;
    dst = put_int(dst, 0x20, 5, 0);
    if (encoder->capacity != 0)
        dst = put_int(dst, 0x20, 5, encoder->capacity);
    return dst;
}

static uint8_t *put_literal(uint8_t *dst, uint8_t pattern, const struct http2_field *field)
{
    *dst++ = pattern;
    dst = put_string(dst, field->name, field->name_len);
    return put_string(dst, field->value, field->value_len);
}

static uint8_t *put_interned(struct hpack_encoder *encoder, uint8_t *dst,
                             const struct http2_field *field)
{
    uint8_t *place = &encoder->place[field->intern];
    if (*place != 0)
        return put_int(dst, 0x80, 7,
                       HPACK_FIRST_DYNAMIC_INDEX + (size_t)(encoder->entered - *place));
    uint32_t size = ENTRY_OVERHEAD + field->name_len + field->value_len;
    if (encoder->used + size > encoder->capacity)
        return put_literal(dst, 0, field);
    assert(field->intern <= HTTP2_INTERN_MAX);
    encoder->used += size;
    *place = ++encoder->entered;
    return put_literal(dst, 0x40, field);
}

size_t hpack_encode_bound(const struct http2_field *fields, size_t num_fields)
{
    size_t bound = 2 * INT_BOUND + 5; /* size updates; status */
    for (size_t i = 0; i != num_fields; i++)
        bound += 1 + 2 * INT_BOUND + fields[i].name_len + fields[i].value_len;
    return bound;
}

size_t hpack_encode(struct hpack_encoder *encoder, uint8_t *dst, unsigned status,
                    const struct http2_field *fields, size_t num_fields)
{
    uint8_t *start = dst;
    if (encoder->update)
        dst = put_size_update(encoder, dst);
    if (status != 0)
        dst = put_status(dst, status);
    for (size_t i = 0; i != num_fields; i++)
        dst = fields[i].intern != 0 ? put_interned(encoder, dst, &fields[i])
                                    : put_literal(dst, 0, &fields[i]);
    return (size_t)(dst - start);
}
