/* SPDX-License-Identifier: MIT */
#include "service/users/sealed_text.h"

#include <assert.h>
#include <endian.h>
#include <string.h>
#include <xxhash.h>

#include "base/base64.h"

/* Base64 needs no padding then, and each bit of the text counts. */
_Static_assert(SEALED_RAW_SIZE / 3 * 4 == SEALED_TEXT_SIZE && SEALED_RAW_SIZE % 3 == 0 &&
                   SEALED_RAW_MAX % 3 == 0,
               "whole base64 groups");

enum { CHECK_MAX = sizeof(XXH64_canonical_t) };

static void make_check(XXH64_canonical_t *check, const uint8_t *raw, size_t size, size_t len,
                       uint64_t kind)
{
    assert(size % 3 == 0 && size <= SEALED_RAW_MAX && len < size && size - len <= CHECK_MAX);
    XXH64_canonicalFromHash(check, XXH64(raw, len, kind));
}

/* The alphabet of RFC 4648 5 differs in two characters. */
static void swap_characters(char *text, size_t len, const char from[2], const char to[2])
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] == from[0])
            text[i] = to[0];
        else if (text[i] == from[1])
            text[i] = to[1];
    }
}

void sealed_text_format(char *text, uint8_t *raw, size_t size, size_t len, uint64_t kind)
{
    XXH64_canonical_t check;
    make_check(&check, raw, size, len, kind);
    memcpy(raw + len, check.digest, size - len);
    base64_encode(text, raw, size);
    swap_characters(text, size / 3 * 4, "+/", "-_");
}

bool sealed_text_parse(uint8_t *raw, size_t size, size_t len, uint64_t kind, const uint8_t *text,
                       size_t text_len)
{
    if (text_len != size / 3 * 4 || memchr(text, '+', text_len) != NULL ||
        memchr(text, '/', text_len) != NULL)
        return false;
    char plain[SEALED_TEXT_MAX];
    memcpy(plain, text, text_len);
    swap_characters(plain, text_len, "-_", "+/");
    uint8_t decoded[SEALED_RAW_MAX + 3];
    size_t decoded_len;
    if (!base64_decode(decoded, &decoded_len, plain, text_len) || decoded_len != size)
        return false;
    XXH64_canonical_t check;
    make_check(&check, decoded, size, len, kind);
    memcpy(raw, decoded, size);
    return memcmp(check.digest, raw + len, size - len) == 0;
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
