/* SPDX-License-Identifier: MIT */
#include "user/uuid.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static void refill(struct uuid_source *source)
{
    size_t have = 0;
    while (have < sizeof(source->bytes)) {
        ssize_t got = getrandom(source->bytes + have, sizeof(source->bytes) - have, 0);
        if (got < 0 && errno != EINTR) {
            /* ids that can be guessed or repeat are worse than no service */
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
        refill(source);
    source->left -= UUID_SIZE;
    uint8_t *stock = source->bytes + source->left;
    memcpy(uuid, stock, UUID_SIZE);
    explicit_bzero(stock, UUID_SIZE);
    uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x40);
    uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
}

/* Where each byte's two digits stand in the text. */
static const uint8_t places[UUID_SIZE] = {0,  2,  4,  6,  9,  11, 14, 16,
                                          19, 21, 24, 26, 28, 30, 32, 34};

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
    for (size_t i = 0; i < UUID_SIZE; i++)
        memcpy(text + places[i], hex_of[uuid[i]], 2);
    text[8] = text[13] = text[18] = text[23] = '-';
}

/* The digit's value, one more than it is, so that 0 says "no digit". */
#define DIGIT(c, v) [c] = (v) + 1
static const uint8_t value_of[256] = {
    DIGIT('0', 0),  DIGIT('1', 1),  DIGIT('2', 2),  DIGIT('3', 3),  DIGIT('4', 4),  DIGIT('5', 5),
    DIGIT('6', 6),  DIGIT('7', 7),  DIGIT('8', 8),  DIGIT('9', 9),  DIGIT('a', 10), DIGIT('b', 11),
    DIGIT('c', 12), DIGIT('d', 13), DIGIT('e', 14), DIGIT('f', 15), DIGIT('A', 10), DIGIT('B', 11),
    DIGIT('C', 12), DIGIT('D', 13), DIGIT('E', 14), DIGIT('F', 15),
};

bool uuid_parse(uint8_t uuid[UUID_SIZE], const uint8_t *text, size_t len)
{
    if (len != UUID_TEXT_SIZE)
        return false;
    bool valid = text[8] == '-' && text[13] == '-' && text[18] == '-' && text[23] == '-';
    for (size_t i = 0; i < UUID_SIZE; i++) {
        unsigned high = value_of[text[places[i]]], low = value_of[text[places[i] + 1]];
        valid &= high != 0 && low != 0;
        uuid[i] = (uint8_t)(((high - 1) << 4) | ((low - 1) & 0xf));
    }
    return valid;
}
