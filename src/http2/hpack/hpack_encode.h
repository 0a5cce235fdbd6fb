/* SPDX-License-Identifier: MIT */
/*
 * HPACK encoding (RFC 7541) of our responses. An interned field (struct http2_field) enters the
 * peer's dynamic table at its first use and is one byte from then on. We never evict an entry, so
 * the index of a field never changes its meaning. All other fields are literals without indexing.
 */
#ifndef ROSTERD_HTTP2_HPACK_HPACK_ENCODE_H
#define ROSTERD_HTTP2_HPACK_HPACK_ENCODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http2/hpack/http2_field.h"

enum {
    HPACK_INDEX_STATUS_200 = 8, /* in the static table */
    HPACK_FIRST_DYNAMIC_INDEX = 62,
    HPACK_KNOWN_MAX = 2, /* bytes that hpack_encode_known() writes */
};
_Static_assert(HPACK_FIRST_DYNAMIC_INDEX + HTTP2_INTERN_MAX < 127, "each index fits into a byte");

struct hpack_encoder {
    uint32_t capacity; /* of the dynamic table, after the size update if one is due */
    uint32_t used;     /* bytes of our entries as in RFC 7541 4.1 */
    uint8_t entered;   /* number of entries */
    uint8_t place[HTTP2_INTERN_MAX + 1]; /* by interned number: order of entry from 1; 0: none */
    bool update;                         /* the next block must begin with a size update */
};

void hpack_encoder_init(struct hpack_encoder *encoder);
/** Applies the peer's SETTINGS_HEADER_TABLE_SIZE. If our capacity changes, the table is emptied. */
void hpack_encoder_resize(struct hpack_encoder *encoder, uint32_t peer_size);

/** Writes the header block of one field that is in the peer's dynamic table, with `:status` 200 or
 * without a status: almost every section that a call sends. @param status 200 or 0
 * @return bytes written, at most HPACK_KNOWN_MAX; 0: the field is not in the table, or the block
 *   has to begin with a size update */
static inline size_t hpack_encode_known(const struct hpack_encoder *encoder, uint8_t *dst,
                                        unsigned status, const struct http2_field *field)
{
    uint8_t place = encoder->place[field->intern]; /* of 0, no field: 0 */
    size_t len = 0;
    if (place == 0 || encoder->update)
        return 0;
    if (status != 0)
        dst[len++] = 0x80 | HPACK_INDEX_STATUS_200;
    dst[len++] = (uint8_t)(0x80 | (HPACK_FIRST_DYNAMIC_INDEX + encoder->entered - place));
    return len;
}

/** An upper bound of the bytes that hpack_encode() writes for these fields. */
size_t hpack_encode_bound(const struct http2_field *fields, size_t num_fields);
/** Writes a header block, which begins with `:status` if status is not 0. @return bytes written
 */
size_t hpack_encode(struct hpack_encoder *encoder, uint8_t *dst, unsigned status,
                    const struct http2_field *fields, size_t num_fields);

#endif
