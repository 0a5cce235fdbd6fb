/* SPDX-License-Identifier: MIT */
/* The SHA-256 of a token, for files that have tokens hashed. */
#ifndef ROSTERD_SERVICE_TOKENS_TOKEN_DIGEST_H
#define ROSTERD_SERVICE_TOKENS_TOKEN_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TOKEN_DIGEST_SIZE = 32 };

/** A context of OpenSSL's, which is kept because making one costs more than a hash. To be used by
 * one thread at a time. A child process may use what its parent made. */
struct token_digest;

/** @return NULL: OpenSSL has no SHA-256 to give, or out of memory */
struct token_digest *token_digest_create(void);
/** NULL: does nothing. */
void token_digest_free(struct token_digest *digest);
/** Nothing of the token stays in the context. @return false: out of memory */
bool token_digest_of(struct token_digest *digest, const char *token, size_t len,
                     uint8_t out[TOKEN_DIGEST_SIZE]);

#endif
