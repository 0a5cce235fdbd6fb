/* SPDX-License-Identifier: MIT */
#include "base/utf8.h"

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

size_t utf8_next(const uint8_t *text, size_t len, uint32_t *code)
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

bool utf8_steers(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || /* C0, DEL, C1 */
           code == 0x061c || (code >= 0x200b && code <= 0x200f) ||
           (code >= 0x2028 && code <= 0x202e) || (code >= 0x2060 && code <= 0x206f) ||
           code == 0xfeff || (code >= 0xfff9 && code <= 0xfffb);
}

/*
 * Where a text is inside of its characters, as the place of six bits in a row of the table: a row
 * stands for a byte, and its bits there are the next state. A step is one shift, however the text
 * is made up: who may choose the texts may choose the dearest. What is not written leads to BAD,
 * which leads to itself.
 */
enum state {
    BAD = 0,
    WHOLE = 6, /* a character ended */
    ONE = 12,  /* so many bytes of 80 to BF are to come */
    TWO = 18,
    THREE = 24,
    AFTER_E0 = 30, /* overlong forms, surrogates and what is over U+10FFFF have no second byte */
    AFTER_ED = 36,
    AFTER_F0 = 42,
    AFTER_F4 = 48,
};
#define GO(from, to) ((uint64_t)(to) << (from))
#define INSIDE       (GO(ONE, WHOLE) | GO(TWO, ONE) | GO(THREE, TWO))

static const uint64_t steps[256] = {
    [0x00 ... 0x7f] = GO(WHOLE, WHOLE),
    [0x80 ... 0x8f] = INSIDE | GO(AFTER_ED, ONE) | GO(AFTER_F4, TWO),
    [0x90 ... 0x9f] = INSIDE | GO(AFTER_ED, ONE) | GO(AFTER_F0, TWO),
    [0xa0 ... 0xbf] = INSIDE | GO(AFTER_E0, ONE) | GO(AFTER_F0, TWO),
    [0xc2 ... 0xdf] = GO(WHOLE, ONE),
    [0xe0] = GO(WHOLE, AFTER_E0),
    [0xe1 ... 0xec] = GO(WHOLE, TWO),
    [0xed] = GO(WHOLE, AFTER_ED),
    [0xee ... 0xef] = GO(WHOLE, TWO),
    [0xf0] = GO(WHOLE, AFTER_F0),
    [0xf1 ... 0xf3] = GO(WHOLE, THREE),
    [0xf4] = GO(WHOLE, AFTER_F4),
};

static inline uint64_t step(uint64_t state, const uint8_t *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        state = steps[text[i]] >> (state & 63);
    return state;
}

static inline bool is_ascii(const uint8_t *text, size_t words)
{
    uint64_t word, all = 0;
    for (size_t i = 0; i < words; i++) {
        memcpy(&word, text + i * sizeof(word), sizeof(word));
        all |= word;
    }
    return (all & UINT64_C(0x8080808080808080)) == 0;
}

/* Of less than eight bytes: most texts end so, and each step would wait for the one before. */
static inline bool is_short_ascii(const uint8_t *text, size_t len)
{
    uint32_t first = 0, last = 0;
    if (len >= sizeof(first)) {
        memcpy(&first, text, sizeof(first));
        memcpy(&last, text + len - sizeof(last), sizeof(last));
    } else {
        for (size_t i = 0; i < len; i++)
            first |= text[i];
    }
    return ((first | last) & 0x80808080) == 0;
}

static bool valid_short(const uint8_t *text, size_t len)
{
    enum { WORD = 8 };
    uint64_t state = WHOLE;
    for (; len >= WORD; text += WORD, len -= WORD) {
        if ((state & 63) != WHOLE || !is_ascii(text, 1))
            state = step(state, text, WORD);
    }
    return ((state & 63) == WHOLE && is_short_ascii(text, len)) ||
           (step(state, text, len) & 63) == WHOLE;
}

/* Where the second half begins: at a character, if the text is made of such. */
static size_t middle(const uint8_t *text, size_t len)
{
    size_t at = len / 2;
    while (at != 0 && (text[at] & 0xc0) == 0x80)
        at--;
    return at;
}

/* A step waits for the one before it, but not for one in another half: both in the time of one. */
static bool valid_long(const uint8_t *text, size_t len)
{
    enum { WORDS = 4, BLOCK = 8 * WORDS };
    size_t half = middle(text, len), at = 0;
    const uint8_t *other = text + half;
    uint64_t first = WHOLE, second = WHOLE;
    for (; at + BLOCK <= half; at += BLOCK) {
        if (((first | second) & 63) == WHOLE && is_ascii(text + at, WORDS) &&
            is_ascii(other + at, WORDS))
            continue;
        for (size_t i = at; i < at + BLOCK; i++) {
            first = steps[text[i]] >> (first & 63);
            second = steps[other[i]] >> (second & 63);
        }
    }
    return (step(first, text + at, half - at) & 63) == WHOLE &&
           (step(second, other + at, len - half - at) & 63) == WHOLE;
}

bool utf8_valid(const uint8_t *text, size_t len)
{
    enum { LONG = 1024 };
    return len < LONG ? valid_short(text, len) : valid_long(text, len);
}

size_t utf8_cut(const char *text, size_t len, size_t max)
{
    if (len <= max)
        return len;
    while (max != 0 && ((uint8_t)text[max] & 0xc0) == 0x80)
        max--;
    return max;
}
