/* SPDX-License-Identifier: MIT */
#include "http2/hpack_scan.h"

/* Skips an integer with a prefix of `bits` (RFC 7541 5.1). Four more bytes hold every size that a
 * block can have. @return the byte after it, or NULL */
static const uint8_t *skip_int(const uint8_t *src, const uint8_t *end, unsigned bits, size_t *value)
{
    size_t prefix_max = ((size_t)1 << bits) - 1;
    if (src == end)
        return NULL;
    *value = *src++ & prefix_max;
    if (*value != prefix_max)
        return src;
    for (unsigned shift = 0; shift < 28; shift += 7) {
        if (src == end)
            return NULL;
        *value += (size_t)(*src & 127) << shift;
        if ((*src++ & 128) == 0)
            return src;
    }
    return NULL;
}

static const uint8_t *skip_string(const uint8_t *src, const uint8_t *end, size_t *len)
{
    src = skip_int(src, end, 7, len);
    if (src == NULL || *len > (size_t)(end - src))
        return NULL;
    return src + *len;
}

enum hpack_scan hpack_scan_next(const uint8_t *src, const uint8_t *end,
                                struct hpack_field_shape *shape)
{
    const uint8_t *at = src;
    size_t index, len;
    uint8_t first = *src;
    unsigned bits = first >= 128 ? 7 : first >= 64 ? 6 : first >= 32 ? 5 : 4;

    if ((at = skip_int(at, end, bits, &index)) == NULL)
        return HPACK_SCAN_MALFORMED;
    shape->indexing = bits == 6;
    if (bits == 6 || bits == 4) {
        if (index == 0) {
            if ((at = skip_string(at, end, &len)) == NULL)
                return HPACK_SCAN_MALFORMED;
            if (len == 0)
                return HPACK_SCAN_EMPTY_NAME;
        }
        if ((at = skip_string(at, end, &len)) == NULL)
            return HPACK_SCAN_MALFORMED;
    }
    shape->len = (size_t)(at - src);
    return bits == 5 ? HPACK_SCAN_UPDATE : HPACK_SCAN_FIELD;
}
