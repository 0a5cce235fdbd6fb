/* SPDX-License-Identifier: MIT */
/*
 * Reads protobuf's wire format (protobuf.dev/programming-guides/encoding). Each function takes
 * where an item begins (`at`) and where the bytes end (`end`). It returns where the next item
 * begins, or NULL if the bytes are not such an item. Nothing before `at` or from `end` on is read.
 *
 * This reader accepts what other implementations accept of a client: groups, varints of more than
 * 64 bits. src/user/wire.h reads stored bodies, whose writer is our own, and is strict.
 */
#ifndef ROSTERD_GRPC_GRPC_WIRE_H
#define ROSTERD_GRPC_GRPC_WIRE_H

#include <stddef.h>
#include <stdint.h>

/* The wire type: the low three bits of a tag. 6 and 7 mean nothing. */
enum {
    GRPC_WIRE_VARINT,
    GRPC_WIRE_FIXED64,
    GRPC_WIRE_LENGTH,
    GRPC_WIRE_GROUP,
    GRPC_WIRE_GROUP_END,
    GRPC_WIRE_FIXED32,
};

enum {
    /** How deep groups may nest; other implementations have the same bound. */
    GRPC_WIRE_MAX_DEPTH = 100,
};

/** The slow path of grpc_wire_varint(): reads any varint of at most `max_bytes` bytes. */
const uint8_t *grpc_wire_long_varint(const uint8_t *at, const uint8_t *end, unsigned max_bytes,
                                     uint64_t *value);

/** Reads a varint of up to 10 bytes; bits above the 64th are dropped. */
static inline const uint8_t *grpc_wire_varint(const uint8_t *at, const uint8_t *end,
                                              uint64_t *value)
{
    if (at == end || *at >= 0x80)
        return grpc_wire_long_varint(at, end, 10, value);
    *value = *at;
    return at + 1;
}

/** Reads a tag: field number << 3 | wire type. The number is 1 to 2^29 - 1; the type may be 6 or 7.
 */
static inline const uint8_t *grpc_wire_tag(const uint8_t *at, const uint8_t *end, uint32_t *tag)
{
    if (at != end && *at < 0x80) {
        *tag = *at++;
    } else {
        uint64_t value;
        at = grpc_wire_long_varint(at, end, 5, &value);
        if (at == NULL || value > UINT32_MAX)
            return NULL;
        *tag = (uint32_t)value;
    }
    return *tag >= 8 ? at : NULL;
}

/** Reads a length, and checks that this many bytes follow. */
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
 * Skips the value of a field whose tag has been read; for a group, everything up to its end.
 * @param fields how many further fields there may be: lowered by one for each field inside a group.
 *   Returns NULL, too, when it would go below 0
 */
const uint8_t *grpc_wire_skip(const uint8_t *at, const uint8_t *end, uint32_t tag, size_t *fields);

#endif
