/* SPDX-License-Identifier: MIT */
/*
 * Base64 for `-bin` metadata (gRPC PROTOCOL-HTTP2): encoded without padding, decoded with or
 * without it. libh2o's decoder knows only the URL alphabet; OpenSSL's requires padding and skips
 * white space.
 */
#ifndef ROSTERD_BASE_BASE64_H
#define ROSTERD_BASE_BASE64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** An upper bound of the bytes that `len` characters decode to. */
static inline size_t base64_decoded_max(size_t len)
{
    return len / 4 * 3 + 3;
}
/** The number of characters that `len` bytes are encoded to, without padding. */
static inline size_t base64_encoded_length(size_t len)
{
    return len / 3 * 4 + (len % 3 != 0 ? len % 3 + 1 : 0);
}

/**
 * Decodes `len` characters.
 * @param to has room for base64_decoded_max(len) bytes @param to_len the number of bytes decoded
 * @return false: the text is not base64
 */
bool base64_decode(uint8_t *to, size_t *to_len, const char *text, size_t len);
/** Writes base64_encoded_length(len) characters, no NUL. */
void base64_encode(char *to, const uint8_t *bytes, size_t len);

#endif
