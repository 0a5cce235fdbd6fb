/* SPDX-License-Identifier: MIT */
#include "service/users/page_token.h"

#include <string.h>

#include <xxhash.h>

/* 30 bytes: no base64 padding, and each bit of the text counts. */
enum { SEQ_SIZE = 8, CHECK_SIZE = 6, RAW_SIZE = SEQ_SIZE + UUID_SIZE + CHECK_SIZE };
_Static_assert(RAW_SIZE / 3 * 4 == PAGE_TOKEN_SIZE && RAW_SIZE % 3 == 0, "whole base64 groups");

/* RFC 4648 5: safe in URLs, headers and shells */
static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* Also tells one meaning of the bytes from the next, should they ever change. */
static void put_check(uint8_t check[CHECK_SIZE], const uint8_t *raw)
{
    XXH64_canonical_t canonical;
    XXH64_canonicalFromHash(&canonical, XXH64(raw, SEQ_SIZE + UUID_SIZE, 0x726f7374657201));
    memcpy(check, canonical.digest, CHECK_SIZE);
}

void page_token_format(char text[PAGE_TOKEN_SIZE], uint64_t seq, const uint8_t id[UUID_SIZE])
{
    uint8_t raw[RAW_SIZE];
    for (size_t i = 0; i < SEQ_SIZE; i++)
        raw[i] = (uint8_t)(seq >> (56 - 8 * i));
    memcpy(raw + SEQ_SIZE, id, UUID_SIZE);
    put_check(raw + SEQ_SIZE + UUID_SIZE, raw);
    for (size_t i = 0; i < RAW_SIZE; i += 3) {
        uint32_t group = (uint32_t)raw[i] << 16 | (uint32_t)raw[i + 1] << 8 | raw[i + 2];
        for (int shift = 18; shift >= 0; shift -= 6)
            *text++ = digits[group >> shift & 63];
    }
}

static int digit_value(uint8_t c)
{
    const char *at = c != 0 ? strchr(digits, c) : NULL;
    return at != NULL ? (int)(at - digits) : -1;
}

bool page_token_parse(const uint8_t *text, size_t len, uint64_t *seq, uint8_t id[UUID_SIZE])
{
    if (len != PAGE_TOKEN_SIZE)
        return false;
    uint8_t raw[RAW_SIZE], check[CHECK_SIZE];
    for (size_t i = 0; i < RAW_SIZE; i += 3) {
        uint32_t group = 0;
        for (size_t k = 0; k < 4; k++) {
            int value = digit_value(*text++);
            if (value < 0)
                return false;
            group = group << 6 | (uint32_t)value;
        }
        raw[i] = (uint8_t)(group >> 16);
        raw[i + 1] = (uint8_t)(group >> 8);
        raw[i + 2] = (uint8_t)group;
    }
    put_check(check, raw);
    if (memcmp(check, raw + SEQ_SIZE + UUID_SIZE, CHECK_SIZE) != 0)
        return false;
    *seq = 0;
    for (size_t i = 0; i < SEQ_SIZE; i++)
        *seq = *seq << 8 | raw[i];
    memcpy(id, raw + SEQ_SIZE, UUID_SIZE);
    return true;
}
