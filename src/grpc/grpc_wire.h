/* SPDX-License-Identifier: MIT */
/*
 * Protobuf's wire format (protobuf.dev/programming-guides/encoding), read: each function takes
 * where something begins and where the bytes end, and returns where the next thing begins, or NULL
 * where the bytes are none such. Nothing before `at` or from `end` on is looked at.
 */
#ifndef ROSTERD_GRPC_GRPC_WIRE_H
#define ROSTERD_GRPC_GRPC_WIRE_H

#include <stddef.h>
#include <stdint.h>

/* The low three bits of a tag; 6 and 7 are none. */
enum {
    GRPC_WIRE_VARINT,
    GRPC_WIRE_FIXED64,
    GRPC_WIRE_LENGTH,
    GRPC_WIRE_GROUP,
    GRPC_WIRE_GROUP_END,
    GRPC_WIRE_FIXED32,
};

enum {
    /** Groups in groups; the other implementations' bound. */
    GRPC_WIRE_MAX_DEPTH = 100,
};

/** The slow half of grpc_wire_varint(), for any varint of at most `max_bytes`. */
const uint8_t *grpc_wire_long_varint(const uint8_t *at, const uint8_t *end, unsigned max_bytes,
                                     uint64_t *value);

/** Up to 10 bytes; bits above the 64th are dropped. */
static inline const uint8_t *grpc_wire_varint(const uint8_t *at, const uint8_t *end,
                                              uint64_t *value)
{
    if (at == end || *at >= 0x80)
        return grpc_wire_long_varint(at, end, 10, value);
    *value = *at;
    return at + 1;
}

/** Field number << 3 | wire type, the number 1 to 2^29 - 1; the type may be 6 or 7. */
static inline const uint8_t *grpc_wire_tag(const uint8_t *at, const uint8_t *end, uint32_t *tag)
{
    uint64_t value;

    if (at != end && *at < 0x80) {
        *tag = *at++;
    } else {
        at = grpc_wire_long_varint(at, end, 5, &value);
        if (at == NULL || value > UINT32_MAX)
            return NULL;
        *tag = (uint32_t)value;
    }
    return *tag >= 8 ? at : NULL;
}

/** A length, and that so many bytes follow. */
static inline const uint8_t *grpc_wire_length(const uint8_t *at, const uint8_t *end, size_t *len)
{
    uint64_t value;

    if (at != end && *at < 0x80) {
        value = *at++;
    } else {
        at = grpc_wire_long_varint(at, end, 5, &value);
        if (at == NULL)
            return NULL;
    }
    *len = (size_t)value;
    return value <= (size_t)(end - at) ? at : NULL;
}

/**
 * Passes over the value of a field whose tag has been read; of a group, over all up to its end.
 * @param fields is lowered by one for each field inside of a group; at 0 that is NULL, too
 */
const uint8_t *grpc_wire_skip(const uint8_t *at, const uint8_t *end, uint32_t tag, size_t *fields);

#endif
