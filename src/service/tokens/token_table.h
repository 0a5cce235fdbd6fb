/* SPDX-License-Identifier: MIT */
/*
 * The hash table of the tokens of a file. A token is in it as text or as its SHA-256; a text is
 * never taken for a digest.
 *
 * The hash depends on a secret that is drawn for each table. A token of the table is compared with
 * the client's only if all 64 bits of the hash are equal, and then all of its bytes are compared,
 * wherever they differ. So the time that a search takes depends on what the client sent (its
 * length, and its hash, which no client can compute), and on whether the token is valid, which the
 * client learns anyway. The same is true of digests: a client can compute the digest of what it
 * sent, but not the hash of that digest.
 */
#ifndef ROSTERD_SERVICE_TOKENS_TOKEN_TABLE_H
#define ROSTERD_SERVICE_TOKENS_TOKEN_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* inlined: a call into the library would cost as much as the hash of a token */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "service/tokens/token_digest.h"

enum {
    TOKEN_SECRET_SIZE = 192,
    /** The `len` of a token that is there as its digest. No text is that long. */
    TOKEN_IS_DIGEST = INT32_MAX,
};
_Static_assert((int)TOKEN_SECRET_SIZE >= (int)XXH3_SECRET_SIZE_MIN,
               "xxhash needs a secret of this size");

struct token {
    uint64_t hash;
    uint32_t at;      /* of its bytes in `text`; NUL bytes follow, up to a whole number of words */
    uint32_t len;     /* of its text, or TOKEN_IS_DIGEST */
    const char *name; /* NULL: an empty slot; the table does not free it */
    uint32_t scopes;
    uint32_t line; /* of the file, from 1 */
};

/** One mapping, which core dumps leave out: this struct, then the slots, then the text. */
struct token_table {
    size_t size;  /* bytes of the mapping */
    size_t count; /* tokens */
    size_t mask;  /* number of slots - 1; the number is a power of two */
    struct token *slots;
    char *text;
    size_t text_len; /* bytes of `text` in use */
    uint8_t secret[TOKEN_SECRET_SIZE];
};

/** Makes an empty table with room for all tokens that a file of this size can have.
 * @return NULL with errno set: out of memory, or no random numbers */
struct token_table *token_table_create(size_t file_size);
/** Overwrites the tokens. NULL: does nothing. */
void token_table_destroy(struct token_table *table);
/**
 * Adds a token that is not in the table.
 * @param bytes the text, or the digest if token->len is TOKEN_IS_DIGEST; copied
 * @param token without `hash` and `at`
 */
void token_table_add(struct token_table *table, const void *bytes, const struct token *token);

/* ---- search ---- */

static inline uint64_t token_table_hash(const struct token_table *table, const void *bytes,
                                        size_t len)
{
    return XXH3_64bits_withSecret(bytes, len, table->secret, TOKEN_SECRET_SIZE);
}

/** Compares all words, wherever the bytes differ: the assembly keeps the compiler from ending the
 * loop early. The last word overlaps the one before it. */
static inline bool token_is_same(const char *a, const char *b, size_t len)
{
    uint64_t difference = 0, x = 0, y = 0;
    size_t i = 0;
    for (; i + 8 < len; i += 8) {
        memcpy(&x, a + i, 8);
        memcpy(&y, b + i, 8);
        difference |= x ^ y;
        __asm__("" : "+r"(difference));
    }
    if (len >= 8) {
        memcpy(&x, a + len - 8, 8);
        memcpy(&y, b + len - 8, 8);
    } else {
        memcpy(&x, a, len);
        memcpy(&y, b, len);
    }
    difference |= x ^ y;
    __asm__("" : "+r"(difference));
    return difference == 0;
}

/* @param kind the `len` that the token has in the table */
static inline const struct token *token_table_search(const struct token_table *table,
                                                     const char *bytes, size_t len, size_t kind)
{
    uint64_t hash = token_table_hash(table, bytes, len);
    for (size_t at = hash & table->mask; table->slots[at].name != NULL;
         at = (at + 1) & table->mask) {
        const struct token *token = &table->slots[at];
        if (token->hash == hash && token->len == kind &&
            token_is_same(table->text + token->at, bytes, len))
            return token;
    }
    return NULL;
}

/** @param len less than TOKEN_IS_DIGEST
 * @return NULL: the table does not have this text */
static inline const struct token *token_table_find(const struct token_table *table,
                                                   const char *text, size_t len)
{
    return token_table_search(table, text, len, len);
}

/** @return NULL: the table does not have this digest */
static inline const struct token *token_table_find_digest(const struct token_table *table,
                                                          const uint8_t digest[TOKEN_DIGEST_SIZE])
{
    return token_table_search(table, (const char *)digest, TOKEN_DIGEST_SIZE, TOKEN_IS_DIGEST);
}

#endif
