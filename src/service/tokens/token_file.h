/* SPDX-License-Identifier: MIT */
/*
 * A file of tokens: one line for each token,
 *
 *     TOKEN NAME [SCOPE,SCOPE...]
 *
 * with spaces or tabs between the words. Without scopes the token has all (service/core/scope.h).
 * Several tokens may have the same name; so a token can be replaced without an interruption. Empty
 * lines and lines that begin with # are skipped. A token is 1 to 4,096 bytes of visible ASCII, a
 * name 1 to 64. In place of a token there may be its hash: `sha256:` and the 64 hexadecimal digits
 * of the token's SHA-256. A token may be there once, as itself or as its hash.
 */
#ifndef ROSTERD_SERVICE_TOKENS_TOKEN_FILE_H
#define ROSTERD_SERVICE_TOKENS_TOKEN_FILE_H

#include <stdbool.h>

#include "base/fault.h"
#include "service/tokens/token_digest.h"
#include "service/tokens/token_table.h"

enum { TOKEN_MAX = 4096, TOKEN_NAME_MAX = 64, TOKEN_WARNING_SIZE = 512 };

/** What a file holds. Zeroed is nothing. */
struct token_file {
    struct token_table *table;
    struct token_digest *digest; /* NULL: no token of the table is a hash */
    void *names;                 /* a tree (tsearch()) of strings, each once */
};

/**
 * @param file zeroed; the caller calls token_file_free(), after a failure, too
 * @param warning is set to something an operator should know, with the file's name, or to ""
 * @param fault names the file, and the line if there is one; it never contains a token
 */
bool token_file_read(struct token_file *file, const char *path, char warning[TOKEN_WARNING_SIZE],
                     struct fault *fault);
/** Overwrites the tokens and frees all that the file holds. */
void token_file_free(struct token_file *file);

#endif
