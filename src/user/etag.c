/* SPDX-License-Identifier: MIT */
#include "user/etag.h"

#include <string.h>

size_t user_etag_format(char text[USER_ETAG_SIZE], uint64_t version)
{
    static const char digits[] = "0123456789abcdef";
    size_t count = (67 - (size_t)__builtin_clzll(version | 1)) / 4;
    text[0] = text[count + 1] = '"';
    for (size_t i = count; i > 0; i--, version >>= 4)
        text[i] = digits[version & 15];
    return count + 2;
}

bool user_etag_parse(const uint8_t *text, size_t len, uint64_t *version)
{
    char again[USER_ETAG_SIZE];
    *version = 0;
    if (len < 3 || len > USER_ETAG_SIZE)
        return false;
    for (size_t i = 1; i + 1 < len; i++) {
        uint8_t c = text[i];
        unsigned digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : 16;
        if (digit == 16)
            return false;
        *version = *version << 4 | digit;
    }
    return *version != 0 && user_etag_format(again, *version) == len &&
           memcmp(again, text, len) == 0;
}
