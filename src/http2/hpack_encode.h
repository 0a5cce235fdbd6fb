/* SPDX-License-Identifier: MIT */
/*
 * HPACK encoding (RFC 7541) of our responses. Interned fields (struct
 * http2_field) enter the peer's dynamic table once and are one byte from then
 * on; nothing is ever evicted by us, so an index never goes stale; all else is
 * a literal without indexing.
 */
#ifndef ROSTERD_HTTP2_HPACK_ENCODE_H
#define ROSTERD_HTTP2_HPACK_ENCODE_H

#include "http2/http2.h"

struct hpack_encoder {
    uint32_t capacity; /* of the dynamic table, as the peer knows it (or will by the update) */
    uint32_t used;     /* RFC 7541 4.1 bytes of what we entered */
    uint8_t entered;   /* entries so far */
    uint8_t place[HTTP2_INTERN_MAX + 1]; /* 1-based order of entry, 0: not entered */
    bool update;                         /* a size update must open the next block */
};

void hpack_encoder_init(struct hpack_encoder *encoder);
/** The peer's SETTINGS_HEADER_TABLE_SIZE. Where it changes what we use, the table starts over. */
void hpack_encoder_resize(struct hpack_encoder *encoder, uint32_t peer_size);

/** The most bytes that hpack_encode() writes for these fields. */
size_t hpack_encode_bound(const struct http2_field *fields, size_t num_fields);
/** A block: `:status` first where status is not 0. @return bytes written */
size_t hpack_encode(struct hpack_encoder *encoder, uint8_t *dst, unsigned status,
                    const struct http2_field *fields, size_t num_fields);

#endif
