/* SPDX-License-Identifier: MIT */
#include "user/uuid.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static void uuid_refill(struct uuid_source *source)
{
    size_t have = 0;
    while (have < sizeof(source->bytes)) {
        ssize_t got = getrandom(source->bytes + have, sizeof(source->bytes) - have, 0);
        if (got < 0 && errno != EINTR) {
            perror("rosterd: getrandom");
            abort();
        }
        have += got > 0 ? (size_t)got : 0;
    }
    source->left = sizeof(source->bytes);
}

void uuid_random(struct uuid_source *source, uint8_t uuid[UUID_SIZE])
{
    assert(source->left <= sizeof(source->bytes));
    if (source->left < UUID_SIZE)
        uuid_refill(source);
    source->left -= UUID_SIZE;
    uint8_t *stock = source->bytes + source->left;
    memcpy(uuid, stock, UUID_SIZE);
    explicit_bzero(stock, UUID_SIZE);
    uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x40);
    uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
}

/** Where each byte's two digits stand in the text. */
static const uint8_t digits_at[UUID_SIZE] = {0,  2,  4,  6,  9,  11, 14, 16,
                                             19, 21, 24, 26, 28, 30, 32, 34};

/* The digits of every byte, a row for each first digit. */
#define HEX_ROW(h)                                                                                 \
    {h, '0'}, {h, '1'}, {h, '2'}, {h, '3'}, {h, '4'}, {h, '5'}, {h, '6'}, {h, '7'}, {h, '8'},      \
        {h, '9'}, {h, 'a'}, {h, 'b'}, {h, 'c'}, {h, 'd'}, {h, 'e'},                                \
    {                                                                                              \
        h, 'f'                                                                                     \
    }
static const char hex_of[256][2] = {
    HEX_ROW('0'), HEX_ROW('1'), HEX_ROW('2'), HEX_ROW('3'), HEX_ROW('4'), HEX_ROW('5'),
    HEX_ROW('6'), HEX_ROW('7'), HEX_ROW('8'), HEX_ROW('9'), HEX_ROW('a'), HEX_ROW('b'),
    HEX_ROW('c'), HEX_ROW('d'), HEX_ROW('e'), HEX_ROW('f'),
};

void uuid_format(char *text, const uint8_t uuid[UUID_SIZE])
{
    /* Unrolling halves the instructions. A listing formats one UUID for each user. */
#pragma GCC unroll 16
    for (size_t i = 0; i < UUID_SIZE; i++)
        memcpy(text + digits_at[i], hex_of[uuid[i]], 2);
    text[8] = text[13] = text[18] = text[23] = '-';
}

/*
 * Reading is fast because most calls bring an id: eight digits at a time, each in one byte of a
 * 64-bit word. The first character of the text is the word's lowest byte, and the first of the four
 * resulting bytes is the lowest of a 32-bit word.
 */
#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/** @param values 0 to 15 in each byte @return their digits in lower case */
static inline uint64_t digits_of(uint64_t values)
{
    uint64_t letters = ((values + EACH(6)) >> 4) & EACH(1); /* 1 for 10 to 15 */
    return values + EACH('0') + letters * ('a' - '0' - 10);
}

/** @param bad gets bits set if a character is not a hexadecimal digit @return the four bytes */
static inline uint32_t parse_digits(uint64_t text, uint64_t *bad)
{
    uint64_t letters = (text >> 6) & EACH(1); /* 1 for letters, and for some other characters */
    uint64_t values = (text & EACH(0x0f)) + letters * 9;
    /* A character that is not a digit differs from the digit of the value it was taken for. */
    *bad |= (values & EACH(0xf0)) | (digits_of(values & EACH(0x0f)) ^ (text | letters << 5));
    values = ((values << 4) | (values >> 8)) & UINT64_C(0x00ff00ff00ff00ff);
    values = (values | (values >> 8)) & UINT64_C(0x0000ffff0000ffff);
    return (uint32_t)(values | (values >> 16));
}

/** Eight characters: four from each of two places. */
static inline uint64_t load_digits(const uint8_t *text, size_t at, size_t and_at)
{
    uint64_t word;
    memcpy(&word, text + at, 4);
    memcpy((uint8_t *)&word + 4, text + and_at, 4);
    return le64toh(word);
}

bool uuid_parse(uint8_t uuid[UUID_SIZE], const uint8_t *text, size_t len)
{
    uint64_t bad = 0;
    if (len != UUID_TEXT_SIZE)
        return false;
    const uint32_t words[4] = {htole32(parse_digits(load_digits(text, 0, 4), &bad)),
                               htole32(parse_digits(load_digits(text, 9, 14), &bad)),
                               htole32(parse_digits(load_digits(text, 19, 24), &bad)),
                               htole32(parse_digits(load_digits(text, 28, 32), &bad))};
    memcpy(uuid, words, UUID_SIZE);
    return bad == 0 && text[8] == '-' && text[13] == '-' && text[18] == '-' && text[23] == '-';
}
