/* SPDX-License-Identifier: MIT */
/*
 * A walk over a header block's field representations (RFC 7541 6) that decodes
 * nothing. It lets the decoder be called field by field, so that an error
 * in one field does not leave the dynamic table behind, and rejects what
 * libh2o's decoder must not see: an empty name (it reads one byte too far) and
 * a size update that is not at the start.
 */
#ifndef ROSTERD_HTTP2_HPACK_SCAN_H
#define ROSTERD_HTTP2_HPACK_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum hpack_scan {
    HPACK_SCAN_FIELD,     /* a whole field */
    HPACK_SCAN_UPDATE,    /* a dynamic table size update */
    HPACK_SCAN_MALFORMED, /* cut off or an integer beyond all sizes */
    HPACK_SCAN_EMPTY_NAME,
};

struct hpack_field_shape {
    size_t len;    /* bytes of the representation */
    bool indexing; /* enters the dynamic table */
};

enum hpack_scan hpack_scan_next(const uint8_t *src, const uint8_t *end,
                                struct hpack_field_shape *shape);

#endif
