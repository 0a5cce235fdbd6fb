/* SPDX-License-Identifier: MIT */
#include "base/base64.h"

static const char base64_alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* The value of each digit plus 1, so that 0 means "not a digit". Decoding must be cheap, because
 * metadata is decoded before the client is authenticated: hence a table. */
#define EIGHT(c, v)                                                                                \
    [c] = (v) + 1, [(c) + 1] = (v) + 2, [(c) + 2] = (v) + 3, [(c) + 3] = (v) + 4,                  \
    [(c) + 4] = (v) + 5, [(c) + 5] = (v) + 6, [(c) + 6] = (v) + 7, [(c) + 7] = (v) + 8
#define TWO(c, v) [c] = (v) + 1, [(c) + 1] = (v) + 2
static const uint8_t base64_values[256] = {
    EIGHT('A', 0),  EIGHT('I', 8), EIGHT('Q', 16), TWO('Y', 24), EIGHT('a', 26), EIGHT('i', 34),
    EIGHT('q', 42), TWO('y', 50),  EIGHT('0', 52), TWO('8', 60), ['+'] = 63,     ['/'] = 64,
};

/* @return the digit's value; with the highest bit set: not a digit */
static inline uint32_t digit_of(uint8_t c)
{
    return base64_values[c] - UINT32_C(1);
}

/* The length without one or two '=' that complete a group of four. */
static size_t unpadded_length(const char *text, size_t len)
{
    if (len != 0 && len % 4 == 0 && text[len - 1] == '=')
        return text[len - 2] == '=' ? len - 2 : len - 1;
    return len;
}

bool base64_decode(uint8_t *to, size_t *to_len, const char *text, size_t len)
{
    const uint8_t *at = (const uint8_t *)text;
    uint8_t *out = to;
    uint32_t seen = 0;
    len = unpadded_length(text, len);
    if (len % 4 == 1)
        return false;
    for (const uint8_t *end = at + len / 4 * 4; at != end; at += 4, out += 3) {
        uint32_t a = digit_of(at[0]), b = digit_of(at[1]), c = digit_of(at[2]), d = digit_of(at[3]);
        seen |= a | b | c | d;
        out[0] = (uint8_t)(a << 2 | b >> 4);
        out[1] = (uint8_t)(b << 4 | c >> 2);
        out[2] = (uint8_t)(c << 6 | d);
    }
    if (len % 4 != 0) { /* two or three digits remain */
        uint32_t a = digit_of(at[0]), b = digit_of(at[1]), c = len % 4 == 3 ? digit_of(at[2]) : 0;
        seen |= a | b | c;
        *out++ = (uint8_t)(a << 2 | b >> 4);
        if (len % 4 == 3)
            *out++ = (uint8_t)(b << 4 | c >> 2);
    }
    *to_len = (size_t)(out - to);
    return seen >> 31 == 0;
}

void base64_encode(char *to, const uint8_t *bytes, size_t len)
{
    uint32_t bits = 0;
    unsigned num_bits = 0;
    for (size_t i = 0; i < len; i++) {
        bits = bits << 8 | bytes[i];
        for (num_bits += 8; num_bits >= 6;) {
            num_bits -= 6;
            *to++ = base64_alphabet[bits >> num_bits & 63];
        }
    }
    if (num_bits != 0)
        *to = base64_alphabet[bits << (6 - num_bits) & 63];
}
