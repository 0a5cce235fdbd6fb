/* SPDX-License-Identifier: MIT */
#include "grpc/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int digit_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+')
        return 62;
    return c == '/' ? 63 : -1;
}

/** Takes one or two '=' off, where they fill a group of four. */
static size_t unpadded_length(const char *text, size_t len)
{
    if (len != 0 && len % 4 == 0 && text[len - 1] == '=')
        return text[len - 2] == '=' ? len - 2 : len - 1;
    return len;
}

bool grpc_base64_decode(uint8_t *to, size_t *to_len, const char *text, size_t len)
{
    uint8_t *out = to;
    uint32_t bits = 0;
    unsigned num_bits = 0;

    len = unpadded_length(text, len);
    if (len % 4 == 1)
        return false;
    for (size_t i = 0; i < len; i++) {
        int digit = digit_of(text[i]);
        if (digit < 0)
            return false;
        bits = bits << 6 | (uint32_t)digit;
        num_bits += 6;
        if (num_bits >= 8) {
            num_bits -= 8;
            *out++ = (uint8_t)(bits >> num_bits);
        }
    }
    *to_len = (size_t)(out - to);
    return true;
}

void grpc_base64_encode(char *to, const uint8_t *bytes, size_t len)
{
    uint32_t bits = 0;
    unsigned num_bits = 0;

    for (size_t i = 0; i < len; i++) {
        bits = bits << 8 | bytes[i];
        for (num_bits += 8; num_bits >= 6;) {
            num_bits -= 6;
            *to++ = alphabet[bits >> num_bits & 63];
        }
    }
    if (num_bits != 0)
        *to = alphabet[bits << (6 - num_bits) & 63];
}
