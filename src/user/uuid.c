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
typedef uint64_t two_words __attribute__((vector_size(16)));

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

static inline uint64_t load_eight(const uint8_t *text)
{
    uint64_t word;
    memcpy(&word, text, sizeof(word));
    return word;
}

static inline uint64_t load_four_and_four(const uint8_t *text, const uint8_t *and_text)
{
    uint32_t words[2];
    memcpy(&words[0], text, 4);
    memcpy(&words[1], and_text, 4);
    return le64toh(le32toh(words[0]) | (uint64_t)le32toh(words[1]) << 32);
}

/* @param bad gets bits set for each character that is not a hexadecimal digit
 * @return 0 to 15 for all others */
static inline sixteen parse_digits(sixteen text, sixteen *bad)
{
    sixteen letters = (sixteen)((sixteen_signed)text > 0x3f); /* and some other characters */
    sixteen values = ((text & 0x0f) + (letters & 9)) & 0x0f;
    /* A character that is not a digit differs from the digit of the value it was taken for. */
    *bad |= vector_digits(values) ^ (text | (letters & 0x20));
    return values;
}

/* Most calls bring an id, so all digits are read at once. */
bool uuid_parse(uint8_t uuid[UUID_SIZE], const uint8_t *text, size_t len)
{
    sixteen bad = {0};
    if (len != UUID_TEXT_SIZE)
        return false;
    const sixteen begin = parse_digits(
        (sixteen)(two_words){load_eight(text), load_four_and_four(text + 9, text + 14)}, &bad);
    const sixteen end = parse_digits(
        (sixteen)(two_words){load_four_and_four(text + 19, text + 24), load_eight(text + 28)},
        &bad);
    const sixteen first = __builtin_shufflevector(begin, end, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20,
                                                  22, 24, 26, 28, 30);
    const sixteen second = __builtin_shufflevector(begin, end, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19,
                                                   21, 23, 25, 27, 29, 31);
    const sixteen bytes = first << 4 | second;
    memcpy(uuid, &bytes, UUID_SIZE);
    const two_words any_bad = (two_words)bad;
    return (any_bad[0] | any_bad[1]) == 0 && text[8] == '-' && text[13] == '-' && text[18] == '-' &&
           text[23] == '-';
}
