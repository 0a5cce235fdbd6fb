/* SPDX-License-Identifier: MIT */
/* Protobuf's wire format, as far as replies are written by hand (protobuf.dev, Encoding). */
#ifndef ROSTERD_SERVICE_WIRE_H
#define ROSTERD_SERVICE_WIRE_H

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

#endif
