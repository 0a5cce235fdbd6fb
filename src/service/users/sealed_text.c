/* SPDX-License-Identifier: MIT */
#include "service/users/sealed_text.h"

#include <assert.h>
#include <endian.h>
#include <string.h>
#include <xxhash.h>

#include "base/base64.h"

/* Base64 needs no padding then, and each bit of the text counts. */
_Static_assert(SEALED_RAW_SIZE / 3 * 4 == SEALED_TEXT_SIZE && SEALED_RAW_SIZE % 3 == 0,
               "whole base64 groups");

enum { CHECK_MAX = sizeof(XXH64_canonical_t) };

static void make_check(XXH64_canonical_t *check, const uint8_t *raw, size_t len, uint64_t kind)
{
    assert(len < SEALED_RAW_SIZE && SEALED_RAW_SIZE - len <= CHECK_MAX);
    XXH64_canonicalFromHash(check, XXH64(raw, len, kind));
}

/* The alphabet of RFC 4648 5 differs in two characters. */
static void swap_characters(char text[SEALED_TEXT_SIZE], const char from[2], const char to[2])
{
    for (size_t i = 0; i < SEALED_TEXT_SIZE; i++) {
        if (text[i] == from[0])
            text[i] = to[0];
        else if (text[i] == from[1])
            text[i] = to[1];
    }
}

void sealed_text_format(char text[SEALED_TEXT_SIZE], uint8_t raw[SEALED_RAW_SIZE], size_t len,
                        uint64_t kind)
{
    XXH64_canonical_t check;
    make_check(&check, raw, len, kind);
    memcpy(raw + len, check.digest, SEALED_RAW_SIZE - len);
    base64_encode(text, raw, SEALED_RAW_SIZE);
    swap_characters(text, "+/", "-_");
}

bool sealed_text_parse(uint8_t raw[SEALED_RAW_SIZE], size_t len, uint64_t kind, const uint8_t *text,
                       size_t text_len)
{
    if (text_len != SEALED_TEXT_SIZE || memchr(text, '+', text_len) != NULL ||
        memchr(text, '/', text_len) != NULL)
        return false;
    char plain[SEALED_TEXT_SIZE];
    memcpy(plain, text, SEALED_TEXT_SIZE);
    swap_characters(plain, "-_", "+/");
    uint8_t decoded[SEALED_TEXT_SIZE / 4 * 3 + 3];
    size_t decoded_len;
    if (!base64_decode(decoded, &decoded_len, plain, SEALED_TEXT_SIZE) ||
        decoded_len != SEALED_RAW_SIZE)
        return false;
    XXH64_canonical_t check;
    make_check(&check, decoded, len, kind);
    memcpy(raw, decoded, SEALED_RAW_SIZE);
    return memcmp(check.digest, raw + len, SEALED_RAW_SIZE - len) == 0;
}

void sealed_put_number(uint8_t *raw, uint64_t number)
{
    number = htobe64(number);
    memcpy(raw, &number, sizeof(number));
}

uint64_t sealed_get_number(const uint8_t *raw)
{
    uint64_t number;
    memcpy(&number, raw, sizeof(number));
    return be64toh(number);
}
