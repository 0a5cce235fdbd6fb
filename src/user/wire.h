/* SPDX-License-Identifier: MIT */
/*
 * Protobuf's wire format (protobuf.dev, Encoding), as far as it is written and read by hand:
 * replies that are copied rather than packed, and stored bodies, which may be damaged.
 */
#ifndef ROSTERD_USER_WIRE_H
#define ROSTERD_USER_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint8_t *wire_put_varint(uint8_t *out, uint64_t value)
{
    while (value >= 0x80) {
        *out++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *out++ = (uint8_t)value;
    return out;
}

static inline size_t wire_varint_size(uint64_t value)
{
    size_t bits = 64 - (size_t)__builtin_clzll(value | 1);
    return (bits + 6) / 7;
}

/** A length-delimited field; tag is the whole key byte. */
static inline uint8_t *wire_put_bytes(uint8_t *out, uint8_t tag, const void *bytes, size_t len)
{
    *out++ = tag;
    out = wire_put_varint(out, len);
    memcpy(out, bytes, len);
    return out + len;
}

/** What is left to read. It stops at the first byte that makes no field. */
struct wire_reader {
    const uint8_t *at, *end;
};

struct wire_field {
    uint64_t tag;   /* the field's number * 8, and its wire type */
    uint64_t value; /* of a varint; or the length of bytes */
    const uint8_t
        *bytes; /* of a length-delimited or a fixed field, within the reader's; else NULL */
};

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

/** @return NULL where no whole varint of at most 64 bits starts here, else what follows it */
static inline const uint8_t *wire_get_varint(const uint8_t *at, const uint8_t *end, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; at < end && shift < 64; shift += 7) {
        uint8_t byte = *at++;
        if (shift == 63 && byte > 1)
            return NULL;
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return at;
    }
    return NULL;
}

/** Reads the next field. @return false at the end (`at` is `end` then) or where there is no field
 */
static inline bool wire_next(struct wire_reader *reader, struct wire_field *field)
{
    const uint8_t *at = wire_get_varint(reader->at, reader->end, &field->tag);
    if (at == NULL || field->tag < 8)
        return false;
    field->bytes = NULL;
    switch (field->tag & 7) {
    case WIRE_VARINT:
        at = wire_get_varint(at, reader->end, &field->value);
        if (at == NULL)
            return false;
        reader->at = at;
        return true;
    case WIRE_BYTES:
        at = wire_get_varint(at, reader->end, &field->value);
        if (at == NULL)
            return false;
        break;
    case WIRE_FIXED64:
        field->value = 8;
        break;
    case WIRE_FIXED32:
        field->value = 4;
        break;
    default:
        return false;
    }
    if (field->value > (uint64_t)(reader->end - at))
        return false;
    field->bytes = at;
    reader->at = at + field->value;
    return true;
}

#endif
