/* SPDX-License-Identifier: MIT */
/*
 * Writes and reads protobuf's wire format (protobuf.dev, Encoding) where protobuf-c is not used:
 * replies that are copied rather than packed, and stored bodies, which may be damaged. The reader
 * is strict: it refuses groups and varints of more than 64 bits. (What clients send is read by
 * src/grpc/grpc_wire.h, which accepts both.)
 */
#ifndef ROSTERD_USER_WIRE_H
#define ROSTERD_USER_WIRE_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/** Writes up to 10 bytes. @return where the next byte goes */
static inline uint8_t *wire_put_varint(uint8_t *out, uint64_t value)
{
    while (value >= 0x80) {
        *out++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *out++ = (uint8_t)value;
    return out;
}

/** Bytes that wire_put_varint() writes. */
static inline size_t wire_varint_size(uint64_t value)
{
    size_t bits = 64 - (size_t)__builtin_clzll(value | 1);
    return (bits + 6) / 7;
}

/** Copies bytes that do not overlap. Texts of up to 64 bytes are copied without a call, in pieces
 * of a fixed size, the last of which may repeat bytes: a listing copies several for each user.
 * @return where the next byte goes */
static inline uint8_t *wire_copy(uint8_t *out, const uint8_t *bytes, size_t len)
{
    if (len > 64)
        return (uint8_t *)mempcpy(out, bytes, len);
    if (len >= 16) {
        memcpy(out, bytes, 16);
        if (len > 32) {
            memcpy(out + 16, bytes + 16, 16);
            memcpy(out + len - 32, bytes + len - 32, 16);
        }
        memcpy(out + len - 16, bytes + len - 16, 16);
    } else if (len >= 8) {
        memcpy(out, bytes, 8);
        memcpy(out + len - 8, bytes + len - 8, 8);
    } else if (len >= 4) {
        memcpy(out, bytes, 4);
        memcpy(out + len - 4, bytes + len - 4, 4);
    } else if (len != 0) {
        out[0] = bytes[0];
        out[len / 2] = bytes[len / 2];
        out[len - 1] = bytes[len - 1];
    }
    return out + len;
}

/** Writes a length-delimited field. @param tag field number << 3 | 2, below 128
 * @return where the next byte goes */
static inline uint8_t *wire_put_bytes(uint8_t *out, uint8_t tag, const void *bytes, size_t len)
{
    *out++ = tag;
    return wire_copy(wire_put_varint(out, len), bytes, len);
}

/** Bytes that wire_put_bytes() writes. */
static inline size_t wire_bytes_size(size_t len)
{
    return 1 + wire_varint_size(len) + len;
}

/** Writes the 9 bytes of a fixed64 or sfixed64 field. @return where the next byte goes */
static inline uint8_t *wire_put_fixed64(uint8_t *out, uint8_t tag, uint64_t value)
{
    value = htole64(value);
    *out++ = tag;
    memcpy(out, &value, sizeof(value));
    return out + sizeof(value);
}

/** @param bytes the content of a fixed64 field */
static inline uint64_t wire_get_fixed64(const uint8_t bytes[8])
{
    uint64_t value;
    memcpy(&value, bytes, sizeof(value));
    return le64toh(value);
}

/** The bytes that are left to read. */
struct wire_reader {
    const uint8_t *at, *end;
};

struct wire_field {
    uint64_t tag;         /* field number << 3 | wire type */
    uint64_t value;       /* the value of a varint, otherwise the length of `bytes` */
    const uint8_t *bytes; /* content, inside the reader's bytes; of a varint: the varint itself */
};

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

/** @return where the next item begins; NULL: no whole varint of at most 64 bits begins at `at` */
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

/* Any field. Apart, so that wire_next() stays small. */
static __attribute__((noinline, unused)) bool wire_next_any(struct wire_reader *reader,
                                                            struct wire_field *field)
{
    const uint8_t *at = wire_get_varint(reader->at, reader->end, &field->tag);
    if (at == NULL || field->tag < 8)
        return false;
    field->bytes = at;
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

/* A varint of at most 8 bytes in one step. @param at 8 bytes
 * @return where the next item begins; NULL: the varint is longer */
static inline const uint8_t *wire_get_short_varint(const uint8_t *at, uint64_t *value)
{
    uint64_t word;
    memcpy(&word, at, sizeof(word));
    word = le64toh(word);
    uint64_t ends = ~word & UINT64_C(0x8080808080808080); /* bytes that end a varint */
    if (ends == 0)
        return NULL;
    word &= ends ^ (ends - 1); /* up to the first of them */
    /* Seven bits of each byte move together: in pairs, in fours, and all. */
    word = (word & UINT64_C(0x007f007f007f007f)) | (word & UINT64_C(0x7f007f007f007f00)) >> 1;
    word = (word & UINT64_C(0x00003fff00003fff)) | (word & UINT64_C(0x3fff00003fff0000)) >> 2;
    *value = (word & UINT64_C(0x000000000fffffff)) | (word & UINT64_C(0x0fffffff00000000)) >> 4;
    return at + __builtin_ctzll(ends) / 8 + 1;
}

/** Reads the next field. @return false: there is none. reader->at is where reading stopped:
 * reader->end, or the first byte that does not belong to a valid field */
static inline bool wire_next(struct wire_reader *reader, struct wire_field *field)
{
    const uint8_t *at = reader->at;
    const ptrdiff_t left = reader->end - at;
    if (left == 0)
        return false;
    /* Nearly all fields have a number below 16, and are texts of less than 128 bytes, or varints
     * that do not stand at the end. */
    if (left >= 2 && (at[0] & 0x87) == WIRE_BYTES && at[0] >= 8 && at[1] < 0x80 &&
        at[1] <= left - 2) {
        field->tag = at[0];
        field->value = at[1];
        field->bytes = at + 2;
        reader->at = at + 2 + at[1];
        return true;
    }
    if (left >= 9 && (at[0] & 0x87) == WIRE_VARINT && at[0] >= 8) {
        const uint8_t *next = wire_get_short_varint(at + 1, &field->value);
        if (next != NULL) {
            field->tag = at[0];
            field->bytes = at + 1;
            reader->at = next;
            return true;
        }
    }
    /* Copies, so that a caller's own structs can stay in registers. */
    struct wire_reader rest = *reader;
    struct wire_field any = {.bytes = at};
    bool found = wire_next_any(&rest, &any);
    *reader = rest;
    *field = any;
    return found;
}

#endif
