/* SPDX-License-Identifier: MIT */
#include "base/percent.h"

#include <stdbool.h>

static bool is_unescaped(char c)
{
    return c >= 0x20 && c <= 0x7e && c != '%';
}

size_t percent_length(const char *text, size_t len)
{
    size_t length = len;
    for (size_t i = 0; i < len; i++)
        length += is_unescaped(text[i]) ? 0 : 2;
    return length;
}

char *percent_encode(char *to, const char *text, size_t len)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < len; i++) {
        if (is_unescaped(text[i])) {
            *to++ = text[i];
        } else {
            *to++ = '%';
            *to++ = digits[(unsigned char)text[i] >> 4];
            *to++ = digits[(unsigned char)text[i] & 15];
        }
    }
    return to;
}

static unsigned digit_value(char digit)
{
    return (unsigned)(digit <= '9' ? digit - '0' : digit - 'A' + 10);
}

size_t percent_decode(char *to, size_t size, const char *text, size_t len)
{
    size_t written = 0;
    for (size_t i = 0; i < len && written < size; i++) {
        char byte = text[i];
        if (byte == '%' && i + 2 < len) {
            byte = (char)(digit_value(text[i + 1]) << 4 | digit_value(text[i + 2]));
            i += 2;
        }
        to[written++] = byte;
    }
    return written;
}
