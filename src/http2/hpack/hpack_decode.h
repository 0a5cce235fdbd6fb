/* SPDX-License-Identifier: MIT */
/*
 * HPACK decoding (RFC 7541 3), one representation at a time. An error leaves the dynamic table out
 * of step with the peer's; a field that is only malformed (hpack_field.faults) does not.
 */
#ifndef ROSTERD_HTTP2_HPACK_HPACK_DECODE_H
#define ROSTERD_HTTP2_HPACK_HPACK_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http2/hpack/hpack_table.h"

enum hpack_result {
    HPACK_FIELD,
    HPACK_SIZE_UPDATE, /* it was applied; the caller checks that it is allowed at this place */
    HPACK_EMPTY_NAME,  /* RFC 9113 8.2.1 does not allow it */
    HPACK_BROKEN,      /* a decoding error as defined by RFC 7541 */
    HPACK_NO_MEMORY,
};

/** Memory into which Huffman-coded strings are decoded and names from the table are copied. */
struct hpack_room {
    char *at;
    size_t len; /* at least HPACK_ROOM_MIN */
};
enum { HPACK_ROOM_MIN = 2 * HPACK_TABLE_SIZE };

/**
 * Decodes one representation.
 * @param src its first byte, before `end`; moved behind it
 * @param field the result. Its texts lie in the block, the room or the table, and are valid until
 * the next call. A string that does not fit into the room has a base of NULL and its true length.
 * @param changed set to true if the table was changed, else left alone
 */
enum hpack_result hpack_decode(struct hpack_table *table, const uint8_t **src, const uint8_t *end,
                               struct hpack_room room, struct hpack_field *field, bool *changed);

/** Skips indexed fields whose values are not wanted. Only these are so short that a block can have
 * tens of thousands of them.
 * @return false: src was not moved; call hpack_decode() */
bool hpack_skip(const struct hpack_table *table, const uint8_t **src, const uint8_t *end);

#endif
