/* SPDX-License-Identifier: MIT */
#include "service/users/page_token.h"

#include <string.h>
#include <xxhash.h>

enum { SEQ_SIZE = 8, PAGE_TOKEN_VALUE = SEQ_SIZE + UUID_SIZE };

uint64_t page_token_filter(const void *filter, size_t len)
{
    return len == 0 ? 0 : XXH64(filter, len, 0);
}

void page_token_format(char text[PAGE_TOKEN_SIZE], uint64_t filter, uint64_t seq,
                       const uint8_t id[UUID_SIZE])
{
    uint8_t raw[SEALED_RAW_SIZE];
    sealed_put_number(raw, seq);
    memcpy(raw + SEQ_SIZE, id, UUID_SIZE);
    sealed_text_format(text, raw, sizeof(raw), PAGE_TOKEN_VALUE, SEALED_PAGE_TOKEN ^ filter);
}

bool page_token_parse(const uint8_t *text, size_t len, uint64_t filter, uint64_t *seq,
                      uint8_t id[UUID_SIZE])
{
    uint8_t raw[SEALED_RAW_SIZE];
    if (!sealed_text_parse(raw, sizeof(raw), PAGE_TOKEN_VALUE, SEALED_PAGE_TOKEN ^ filter, text,
                           len))
        return false;
    *seq = sealed_get_number(raw);
    memcpy(id, raw + SEQ_SIZE, UUID_SIZE);
    return true;
}
