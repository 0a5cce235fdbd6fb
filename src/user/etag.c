/* SPDX-License-Identifier: MIT */
#include "user/etag.h"

#include <endian.h>
#include <string.h>

/* @return the eight digits of a number, the first one in the lowest byte */
static inline uint64_t eight_digits(uint64_t number)
{
#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))
    number = (number | number << 16) & UINT64_C(0x0000ffff0000ffff);
    number = (number | number << 8) & UINT64_C(0x00ff00ff00ff00ff);
    number = (number | number << 4) & EACH(0x0f);
    uint64_t letters = ((number + EACH(6)) >> 4) & EACH(1); /* 1 for 10 to 15 */
    return htole64(__builtin_bswap64(number + EACH('0') + letters * ('a' - '0' - 10)));
#undef EACH
}

size_t user_etag_format(char text[USER_ETAG_SIZE], uint64_t version)
{
    size_t count = (67 - (size_t)__builtin_clzll(version | 1)) / 4;
    uint64_t left = version << (64 - 4 * count); /* its first digit is the highest */
    uint64_t digits = eight_digits(left >> 32);
    text[0] = '"';
    memcpy(text + 1, &digits, sizeof(digits)); /* perhaps more than `count`: there is room */
    if (count > 8) {
        digits = eight_digits(left & UINT32_MAX);
        memcpy(text + 9, &digits, sizeof(digits));
    }
    text[count + 1] = '"';
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
