/* SPDX-License-Identifier: MIT */
#include "service/users/page_token.h"

#include <string.h>
#include <xxhash.h>

#include "base/base64.h"

/* 30 bytes: base64 needs no padding, and each bit of the text counts. */
enum { SEQ_SIZE = 8, CHECK_SIZE = 6, RAW_SIZE = SEQ_SIZE + UUID_SIZE + CHECK_SIZE };
_Static_assert(RAW_SIZE / 3 * 4 == PAGE_TOKEN_SIZE && RAW_SIZE % 3 == 0, "whole base64 groups");

/* The seed also tells this format of a token from any later one. */
static void put_check(uint8_t check[CHECK_SIZE], const uint8_t *raw)
{
    XXH64_canonical_t canonical;
    XXH64_canonicalFromHash(&canonical, XXH64(raw, SEQ_SIZE + UUID_SIZE, 0x726f7374657201));
    memcpy(check, canonical.digest, CHECK_SIZE);
}

/* The alphabet of RFC 4648 5 differs in two characters; it is safe in URLs, headers and shells. */
static void swap_characters(char text[PAGE_TOKEN_SIZE], const char from[2], const char to[2])
{
    for (size_t i = 0; i < PAGE_TOKEN_SIZE; i++) {
        if (text[i] == from[0])
            text[i] = to[0];
        else if (text[i] == from[1])
            text[i] = to[1];
    }
}

void page_token_format(char text[PAGE_TOKEN_SIZE], uint64_t seq, const uint8_t id[UUID_SIZE])
{
    uint8_t raw[RAW_SIZE];
    for (size_t i = 0; i < SEQ_SIZE; i++)
        raw[i] = (uint8_t)(seq >> (56 - 8 * i));
    memcpy(raw + SEQ_SIZE, id, UUID_SIZE);
    put_check(raw + SEQ_SIZE + UUID_SIZE, raw);
    base64_encode(text, raw, RAW_SIZE);
    swap_characters(text, "+/", "-_");
}

bool page_token_parse(const uint8_t *text, size_t len, uint64_t *seq, uint8_t id[UUID_SIZE])
{
    if (len != PAGE_TOKEN_SIZE || memchr(text, '+', len) != NULL || memchr(text, '/', len) != NULL)
        return false;
    char plain[PAGE_TOKEN_SIZE];
    memcpy(plain, text, PAGE_TOKEN_SIZE);
    swap_characters(plain, "-_", "+/");
    uint8_t raw[PAGE_TOKEN_SIZE / 4 * 3 + 3], check[CHECK_SIZE];
    size_t raw_len;
    if (!base64_decode(raw, &raw_len, plain, PAGE_TOKEN_SIZE) || raw_len != RAW_SIZE)
        return false;
    put_check(check, raw);
    if (memcmp(check, raw + SEQ_SIZE + UUID_SIZE, CHECK_SIZE) != 0)
        return false;
    *seq = 0;
    for (size_t i = 0; i < SEQ_SIZE; i++)
        *seq = *seq << 8 | raw[i];
    memcpy(id, raw + SEQ_SIZE, UUID_SIZE);
    return true;
}
