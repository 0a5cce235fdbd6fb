/* SPDX-License-Identifier: MIT */
#include "grpc/grpc_wire.h"

const uint8_t *grpc_wire_long_varint(const uint8_t *at, const uint8_t *end, unsigned max_bytes,
                                     uint64_t *value)
{
    uint64_t bits = 0;
    for (unsigned i = 0; i < max_bytes && at != end; i++) {
        uint8_t byte = *at++;
        bits |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            *value = bits;
            return at;
        }
    }
    return NULL;
}

/** Skips a value that is not a group. */
static const uint8_t *skip_value(const uint8_t *at, const uint8_t *end, unsigned type)
{
    uint64_t ignored;
    size_t len;
    switch (type) {
    case GRPC_WIRE_VARINT:
        return grpc_wire_varint(at, end, &ignored);
    case GRPC_WIRE_FIXED64:
        return end - at >= 8 ? at + 8 : NULL;
    case GRPC_WIRE_FIXED32:
        return end - at >= 4 ? at + 4 : NULL;
    case GRPC_WIRE_LENGTH:
        at = grpc_wire_length(at, end, &len);
        return at == NULL ? NULL : at + len;
    default:
        return NULL; /* a type without a meaning, or the end of a group that did not begin */
    }
}

const uint8_t *grpc_wire_skip(const uint8_t *at, const uint8_t *end, uint32_t tag, size_t *fields)
{
    uint32_t open[GRPC_WIRE_MAX_DEPTH]; /* the tags that will end the open groups */
    unsigned depth = 0;
    for (;;) {
        unsigned type = tag & 7;
        if (type == GRPC_WIRE_GROUP) {
            if (depth == GRPC_WIRE_MAX_DEPTH)
                return NULL;
            open[depth++] = tag + (GRPC_WIRE_GROUP_END - GRPC_WIRE_GROUP);
        } else if (type == GRPC_WIRE_GROUP_END) {
            /* cppcheck-suppress uninitvar ; all elements below depth were set when depth grew */
            if (depth == 0 || open[--depth] != tag)
                return NULL;
        } else {
            at = skip_value(at, end, type);
        }
        if (at == NULL || depth == 0)
            return at;
        if (*fields == 0)
            return NULL;
        --*fields;
        at = grpc_wire_tag(at, end, &tag);
        if (at == NULL)
            return NULL;
    }
}
