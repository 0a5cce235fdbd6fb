/* SPDX-License-Identifier: MIT */
#include "grpc/utf8.h"

#include <string.h>

/** The length of the character that begins at text, 0 where there is none. */
static size_t char_length(const uint8_t *text, size_t len)
{
    uint8_t lead = text[0];
    uint8_t low = 0x80, high = 0xbf; /* of the second byte, which tells overlong forms */
    size_t length;

    if (lead < 0x80)
        return 1;
    if (lead < 0xc2 || lead > 0xf4)
        return 0;
    if (lead < 0xe0) {
        length = 2;
    } else if (lead < 0xf0) {
        length = 3;
        low = lead == 0xe0 ? 0xa0 : low;
        high = lead == 0xed ? 0x9f : high;
    } else {
        length = 4;
        low = lead == 0xf0 ? 0x90 : low;
        high = lead == 0xf4 ? 0x8f : high;
    }
    if (len < length || text[1] < low || text[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    }
    return length;
}

size_t grpc_utf8_next(const uint8_t *text, size_t len, uint32_t *code)
{
    size_t length = char_length(text, len);
    if (length <= 1) {
        *code = text[0];
        return length;
    }
    *code = text[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++)
        *code = *code << 6 | (text[i] & 0x3fu);
    return length;
}

bool grpc_utf8_steers(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || /* C0, DEL, C1 */
           code == 0x061c || (code >= 0x200b && code <= 0x200f) ||
           (code >= 0x2028 && code <= 0x202e) || (code >= 0x2060 && code <= 0x206f) ||
           code == 0xfeff || (code >= 0xfff9 && code <= 0xfffb);
}

bool grpc_utf8_valid(const uint8_t *text, size_t len)
{
    while (len != 0) {
        uint64_t eight;
        if (len >= sizeof(eight)) {
            memcpy(&eight, text, sizeof(eight));
            if ((eight & UINT64_C(0x8080808080808080)) == 0) {
                text += sizeof(eight);
                len -= sizeof(eight);
                continue;
            }
        }
        size_t length = char_length(text, len);
        if (length == 0)
            return false;
        text += length;
        len -= length;
    }
    return true;
}

size_t grpc_utf8_cut(const char *text, size_t len, size_t max)
{
    if (len <= max)
        return len;
    while (max != 0 && ((uint8_t)text[max] & 0xc0) == 0x80)
        max--;
    return max;
}
