/* SPDX-License-Identifier: MIT */
#include "service/tokens/token_digest.h"

#include <stdlib.h>

#include <openssl/evp.h>

struct token_digest {
    EVP_MD *algorithm;
    EVP_MD_CTX *context;
};

struct token_digest *token_digest_create(void)
{
    struct token_digest *digest = calloc(1, sizeof(*digest));
    if (digest == NULL)
        return NULL;
    digest->algorithm = EVP_MD_fetch(NULL, "SHA2-256", NULL);
    digest->context = EVP_MD_CTX_new();
    if (digest->algorithm != NULL && digest->context != NULL &&
        EVP_DigestInit_ex2(digest->context, digest->algorithm, NULL))
        return digest;
    token_digest_free(digest);
    return NULL;
}

void token_digest_free(struct token_digest *digest)
{
    if (digest == NULL)
        return;
    EVP_MD_CTX_free(digest->context);
    EVP_MD_free(digest->algorithm);
    free(digest);
}

/* EVP_DigestFinal_ex() overwrites the bytes of the token that the context still has. */
bool token_digest_of(struct token_digest *digest, const char *token, size_t len,
                     uint8_t out[TOKEN_DIGEST_SIZE])
{
    return EVP_DigestInit_ex2(digest->context, NULL, NULL) &&
           EVP_DigestUpdate(digest->context, token, len) &&
           EVP_DigestFinal_ex(digest->context, out, NULL);
}
