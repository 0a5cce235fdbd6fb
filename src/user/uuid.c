/* SPDX-License-Identifier: MIT */
#include "user/uuid.h"

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
    if (source->left < UUID_SIZE)
        uuid_refill(source);
    source->left -= UUID_SIZE;
    uint8_t *stock = source->bytes + source->left;
    memcpy(uuid, stock, UUID_SIZE);
    explicit_bzero(stock, UUID_SIZE);
    uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x40);
    uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
}

/* 16 bytes, on which the operators work one by one. */
typedef uint8_t sixteen __attribute__((vector_size(16)));
typedef int8_t sixteen_signed __attribute__((vector_size(16)));

/* @param values 0 to 15 @return their digits in lower case */
static inline sixteen vector_digits(sixteen values)
{
    /* All bits are set for 10 to 15. (SSE2 compares signed numbers only.) */
    sixteen letters = (sixteen)((sixteen_signed)values > 9);
    return values + '0' + (letters & ('a' - '0' - 10));
}

/* A listing formats one UUID for each user, so all digits are made at once. */
void uuid_format(char *text, const uint8_t uuid[UUID_SIZE])
{
    sixteen bytes;
    memcpy(&bytes, uuid, sizeof(bytes));
    const sixteen first = vector_digits(bytes >> 4), second = vector_digits(bytes & 15);
    const sixteen digits[2] = {__builtin_shufflevector(first, second, 0, 16, 1, 17, 2, 18, 3, 19, 4,
                                                       20, 5, 21, 6, 22, 7, 23),
                               __builtin_shufflevector(first, second, 8, 24, 9, 25, 10, 26, 11, 27,
                                                       12, 28, 13, 29, 14, 30, 15, 31)};
    const char *from = (const char *)digits;
    memcpy(text, from, 8);
    memcpy(text + 9, from + 8, 4);
    memcpy(text + 14, from + 12, 4);
    memcpy(text + 19, from + 16, 4);
    memcpy(text + 24, from + 20, 4);
    memcpy(text + 28, from + 24, 8);
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
