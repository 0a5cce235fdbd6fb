/* SPDX-License-Identifier: MIT */
/*
 * HPACK decoding (RFC 7541 3), one representation after the other. An error here leaves the
 * dynamic table out of step; a field that is only malformed (hpack_field.faults) does not.
 */
#ifndef ROSTERD_HTTP2_HPACK_DECODE_H
#define ROSTERD_HTTP2_HPACK_DECODE_H

#include "http2/hpack_table.h"

enum hpack_result {
    HPACK_FIELD,
    HPACK_SIZE_UPDATE, /* was applied; whether it may stand here is the caller's to know */
    HPACK_EMPTY_NAME,  /* RFC 9113 8.2.1 has no such field */
    HPACK_BROKEN,      /* RFC 7541 says: a decoding error */
    HPACK_NO_MEMORY,
};

/** Where strings in Huffman's code are decoded to, and names of the table are copied to. */
struct hpack_room {
    char *at;
    size_t len; /* HPACK_ROOM_MIN at least */
};
enum { HPACK_ROOM_MIN = 2 * HPACK_TABLE_SIZE };

/**
 * @param src the first byte of a representation; moved behind it
 * @param field its texts lie in the block, the room or the table, until the next call; a string
 * that the room does not take has a base of NULL, and its true length
 * @param changed set where the table was
 */
enum hpack_result hpack_decode(struct hpack_table *table, const uint8_t **src, const uint8_t *end,
                               struct hpack_room room, struct hpack_field *field, bool *changed);

/** Instead, where the field is not wanted: goes on behind indexed fields, the only ones that are so
 * short that a block can have tens of thousands.
 * @return false: src has not moved, and hpack_decode() is to look at it */
bool hpack_skip(const struct hpack_table *table, const uint8_t **src, const uint8_t *end);

#endif
