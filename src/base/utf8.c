/* SPDX-License-Identifier: MIT */
#include "base/utf8.h"

#include <string.h>

/* The length of the sequence that this lead byte begins, and the bounds of its second byte (Unicode
 * 3.9, table 3-7). They exclude overlong forms, surrogates and what lies beyond U+10FFFF.
 * @return 0: no sequence begins with this byte */
static size_t sequence_length(uint8_t lead, uint8_t *low, uint8_t *high)
{
    *low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    *high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if (lead < 0x80)
        return 1;
    if (lead < 0xc2 || lead > 0xf4)
        return 0;
    return lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

/* @param used the bytes of the character, or of the maximal subpart
 * @return false: no character begins at `text` */
static bool read_character(const uint8_t *text, size_t len, uint32_t *code, size_t *used)
{
    uint8_t low, high;
    size_t length = sequence_length(text[0], &low, &high);
    *code = UTF8_REPLACEMENT;
    *used = 1;
    if (length == 0)
        return false;
    uint32_t value = length == 1 ? text[0] : text[0] & (0x7fu >> length);
    for (; *used < length; (*used)++) {
        if (*used == len || text[*used] < low || text[*used] > high)
            return false;
        value = value << 6 | (text[*used] & 0x3fu);
        low = 0x80;
        high = 0xbf;
    }
    *code = value;
    return true;
}

size_t utf8_next(const uint8_t *text, size_t len, uint32_t *code)
{
    size_t used;
    return read_character(text, len, code, &used) ? used : 0;
}

size_t utf8_next_lossy(const uint8_t *text, size_t len, uint32_t *code)
{
    size_t used;
    (void)read_character(text, len, code, &used);
    return used;
}

bool utf8_steers(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || /* C0, DEL, C1 */
           code == 0x061c || (code >= 0x200b && code <= 0x200f) ||
           (code >= 0x2028 && code <= 0x202e) || (code >= 0x2060 && code <= 0x206f) ||
           code == 0xfeff || (code >= 0xfff9 && code <= 0xfffb);
}

/*
 * Validation by a state machine with a table row for each byte. A state is the position of six bits
 * in the rows; those six bits of a byte's row are the next state. So each step is one shift,
 * whatever the text: an attacker who chooses the text cannot make it more expensive. Transitions
 * that are not listed lead to BAD, which is 0 and leads to itself.
 */
enum utf8_state {
    BAD = 0,
    WHOLE = 6, /* at the end of a character */
    ONE = 12,  /* this number of bytes from 80 to BF must follow */
    TWO = 18,
    THREE = 24,
    AFTER_E0 = 30, /* after these lead bytes the second byte has a narrower range */
    AFTER_ED = 36,
    AFTER_F0 = 42,
    AFTER_F4 = 48,
};
#define GO(from, to) ((uint64_t)(to) << (from))
#define INSIDE       (GO(ONE, WHOLE) | GO(TWO, ONE) | GO(THREE, TWO))

static const uint64_t utf8_rows[256] = {
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

static inline uint64_t utf8_steps(uint64_t state, const uint8_t *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        state = utf8_rows[text[i]] >> (state & 63);
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

/* For less than eight bytes, the end of most texts. Cheaper than steps, each of which depends on
 * the one before. */
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

static __attribute__((noinline)) bool valid_short(const uint8_t *text, size_t len)
{
    enum { WORD = 8 };
    uint64_t state = WHOLE;
    for (; len >= WORD; text += WORD, len -= WORD) {
        if ((state & 63) != WHOLE || !is_ascii(text, 1))
            state = utf8_steps(state, text, WORD);
    }
    return ((state & 63) == WHOLE && is_short_ascii(text, len)) ||
           (utf8_steps(state, text, len) & 63) == WHOLE;
}

/* Where the second half begins: at the beginning of a character, if the text is valid. */
static size_t find_middle(const uint8_t *text, size_t len)
{
    size_t at = len / 2;
    while (at != 0 && (text[at] & 0xc0) == 0x80)
        at--;
    return at;
}

/* Each step depends on the one before it, but not on steps in the other half of the text. So two
 * halves that are checked together take the time of one. */
static __attribute__((noinline)) bool valid_long(const uint8_t *text, size_t len)
{
    enum { WORDS = 4, BLOCK = 8 * WORDS };
    size_t half = find_middle(text, len), at = 0;
    const uint8_t *other = text + half;
    uint64_t first = WHOLE, second = WHOLE;
    for (; at + BLOCK <= half; at += BLOCK) {
        if (((first | second) & 63) == WHOLE && is_ascii(text + at, WORDS) &&
            is_ascii(other + at, WORDS))
            continue;
        for (size_t i = at; i < at + BLOCK; i++) {
            first = utf8_rows[text[i]] >> (first & 63);
            second = utf8_rows[other[i]] >> (second & 63);
        }
    }
    return (utf8_steps(first, text + at, half - at) & 63) == WHOLE &&
           (utf8_steps(second, other + at, len - half - at) & 63) == WHOLE;
}

/* Of at least eight bytes. The last word may have bytes of the one before. */
static inline bool is_whole_ascii(const uint8_t *text, size_t len)
{
    enum { WORD = 8 };
    return is_ascii(text, len / WORD) && is_ascii(text + len - WORD, 1);
}

bool utf8_valid(const uint8_t *text, size_t len)
{
    enum { LEAST = 8, SOME = 128, LONG = 1024 };
    if (len >= LEAST && len < SOME && is_whole_ascii(text, len))
        return true;
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
