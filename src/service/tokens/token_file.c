/* SPDX-License-Identifier: MIT */
#include "service/tokens/token_file.h"

#include <errno.h>
#include <search.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/param.h>
#include <sys/stat.h>

#include <openssl/crypto.h>

#include "base/file.h"
#include "service/core/scope.h"

enum {
    FILE_MAX = 16 << 20, /* bytes */
    SHORT_TOKEN = 16,    /* characters; a shorter token gets a warning */
};
#define LINE_FORM  "TOKEN NAME [SCOPE,SCOPE...]"
#define HASH_START "sha256:"
enum { HASH_START_LEN = sizeof(HASH_START) - 1, HASH_DIGITS = 2 * TOKEN_DIGEST_SIZE };

struct reading {
    const char *path;
    char *warning; /* TOKEN_WARNING_SIZE bytes */
    struct fault *fault;
    struct token_file *file;
    uint32_t line; /* from 1; 0: the file as a whole */
};

static bool token_read_fail(struct reading *reading, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static bool token_read_fail(struct reading *reading, const char *format, ...)
{
    char text[192];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (reading->line != 0)
        return fault_set(reading->fault, "%.300s:%u: %s", reading->path, reading->line, text);
    return fault_set(reading->fault, "%.300s: %s", reading->path, text);
}

/* Keeps the first warning. */
static void token_read_warn(struct reading *reading, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void token_read_warn(struct reading *reading, const char *format, ...)
{
    if (*reading->warning != '\0')
        return;
    int len = snprintf(reading->warning, TOKEN_WARNING_SIZE, "%.300s: ", reading->path);
    va_list args;
    va_start(args, format);
    vsnprintf(reading->warning + len, TOKEN_WARNING_SIZE - (size_t)len, format, args);
    va_end(args);
}

/* ---- the words of a line ---- */

/* A part of the file, without a NUL byte at its end. */
struct token_word {
    const char *at;
    size_t len;
};

/* How many bytes of visible ASCII the text begins with. */
static size_t count_visible(const char *text, size_t len)
{
    size_t n = 0;
    while (n < len && text[n] > 0x20 && text[n] < 0x7f)
        n++;
    return n;
}

/* How many spaces and tabs the text begins with. */
static size_t count_blank(const char *text, size_t len)
{
    size_t n = 0;
    while (n < len && (text[n] == ' ' || text[n] == '\t'))
        n++;
    return n;
}

static void skip_bytes(struct token_word *rest, size_t len)
{
    rest->at += len;
    rest->len -= len;
}

/* Takes a word and the blanks after it off the line. @return false: what follows the word, or
 * stands in its place, is neither a blank nor visible ASCII. An empty word at the line's end is
 * true */
static bool take_token_word(struct token_word *rest, struct token_word *word)
{
    *word = (struct token_word){rest->at, count_visible(rest->at, rest->len)};
    skip_bytes(rest, word->len);
    size_t gap = count_blank(rest->at, rest->len);
    skip_bytes(rest, gap);
    return rest->len == 0 || gap != 0;
}

/* ---- keeping a token ---- */

static int compare_texts(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* @return the one copy of the name, which lives as long as the file; NULL: out of memory */
static const char *keep_name(struct reading *reading, struct token_word name)
{
    char *copy = strndup(name.at, name.len);
    char **node = copy == NULL ? NULL : tsearch(copy, &reading->file->names, compare_texts);
    if (node == NULL || *node != copy)
        free(copy);
    return node == NULL ? NULL : *node;
}

/* @param bytes the text, or the digest */
static bool add_token(struct reading *reading, const void *bytes, uint32_t len,
                      struct token_word name, unsigned scopes)
{
    struct token_table *table = reading->file->table;
    const struct token *same = len == TOKEN_IS_DIGEST ? token_table_find_digest(table, bytes)
                                                      : token_table_find(table, bytes, len);
    if (same != NULL)
        return token_read_fail(reading, "the token is there already");
    const char *kept = keep_name(reading, name);
    if (kept == NULL)
        return token_read_fail(reading, "out of memory");
    const struct token token = {.len = len, .name = kept, .scopes = scopes, .line = reading->line};
    token_table_add(table, bytes, &token);
    return true;
}

static bool starts_as_hash(struct token_word word)
{
    return word.len >= HASH_START_LEN && strncasecmp(word.at, HASH_START, HASH_START_LEN) == 0;
}

static bool parse_hash(struct token_word word, uint8_t digest[TOKEN_DIGEST_SIZE])
{
    const char *digits = word.at + HASH_START_LEN;
    if (word.len != HASH_START_LEN + HASH_DIGITS)
        return false;
    for (size_t i = 0; i < TOKEN_DIGEST_SIZE; i++) {
        int high = OPENSSL_hexchar2int((unsigned char)digits[2 * i]);
        int low = OPENSSL_hexchar2int((unsigned char)digits[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        digest[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

/* A malformed hash is refused rather than taken for a token: its text, which is no secret, would
 * open the server. */
static bool add_hash(struct reading *reading, struct token_word word, struct token_word name,
                     unsigned scopes)
{
    uint8_t digest[TOKEN_DIGEST_SIZE];
    if (!parse_hash(word, digest))
        return token_read_fail(reading, "a hashed token is %s and %d hexadecimal digits",
                               HASH_START, HASH_DIGITS);
    if (reading->file->digest == NULL)
        reading->file->digest = token_digest_create();
    if (reading->file->digest == NULL)
        return token_read_fail(reading, "OpenSSL has no SHA-256, or there is no memory");
    return add_token(reading, digest, TOKEN_IS_DIGEST, name, scopes);
}

static bool add_text(struct reading *reading, struct token_word word, struct token_word name,
                     unsigned scopes)
{
    if (word.len > TOKEN_MAX)
        return token_read_fail(reading, "the token is longer than %d bytes", TOKEN_MAX);
    if (!add_token(reading, word.at, (uint32_t)word.len, name, scopes))
        return false;
    if (word.len < SHORT_TOKEN)
        token_read_warn(reading, "the token of line %u has fewer than %d characters", reading->line,
                        SHORT_TOKEN);
    return true;
}

/* ---- reading ---- */

static bool read_scopes(struct reading *reading, struct token_word word, unsigned *scopes)
{
    struct fault why;
    *scopes = SCOPE_ALL;
    return word.len == 0 || scope_parse(word.at, word.len, scopes, &why) ||
           token_read_fail(reading, "%s", why.text);
}

static bool read_token_line(struct reading *reading, const char *line, size_t len)
{
    struct token_word rest = {line, len}, token, name, scope_words;
    unsigned scopes;
    if (len != 0 && line[len - 1] == '\r')
        rest.len--;
    skip_bytes(&rest, count_blank(rest.at, rest.len));
    if (rest.len == 0 || *rest.at == '#')
        return true;
    if (!take_token_word(&rest, &token) || token.len == 0)
        return token_read_fail(reading, "a token is visible ASCII");
    if (rest.len == 0)
        return token_read_fail(reading, "the token has no name: " LINE_FORM);
    if (!take_token_word(&rest, &name) || name.len == 0)
        return token_read_fail(reading, "a name is visible ASCII");
    if (name.len > TOKEN_NAME_MAX)
        return token_read_fail(reading, "the name is longer than %d bytes", TOKEN_NAME_MAX);
    (void)take_token_word(&rest, &scope_words);
    if (rest.len != 0)
        return token_read_fail(reading, "more than a token, a name and scopes: " LINE_FORM);
    if (!read_scopes(reading, scope_words, &scopes))
        return false;
    return starts_as_hash(token) ? add_hash(reading, token, name, scopes)
                                 : add_text(reading, token, name, scopes);
}

/* Finds tokens that are there both as themselves and as their hash. The first such line is
 * reported, as if each line had been compared with those before it. */
static bool check_hashes(struct reading *reading)
{
    const struct token_table *table = reading->file->table;
    uint8_t digest[TOKEN_DIGEST_SIZE];
    uint32_t first = 0;
    for (size_t i = 0; reading->file->digest != NULL && i <= table->mask; i++) {
        const struct token *text = &table->slots[i];
        if (text->name == NULL || text->len == TOKEN_IS_DIGEST)
            continue;
        if (!token_digest_of(reading->file->digest, table->text + text->at, text->len, digest))
            return token_read_fail(reading, "out of memory");
        const struct token *hashed = token_table_find_digest(table, digest);
        uint32_t line = hashed == NULL ? 0 : MAX(text->line, hashed->line);
        if (line != 0 && (first == 0 || line < first))
            first = line;
    }
    reading->line = first;
    return first == 0 || token_read_fail(reading, "the token is there already");
}

static bool read_tokens(struct reading *reading, const char *text, size_t len)
{
    const char *end = text + len;
    while (text < end) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        size_t line_len = (size_t)((newline != NULL ? newline : end) - text);
        reading->line++;
        if (!read_token_line(reading, text, line_len))
            return false;
        text += line_len + 1;
    }
    reading->line = 0;
    if (reading->file->table->count == 0)
        return token_read_fail(reading, "there is no token in it");
    return check_hashes(reading);
}

bool token_file_read(struct token_file *file, const char *path, char warning[TOKEN_WARNING_SIZE],
                     struct fault *fault)
{
    struct reading reading = {.path = path, .warning = warning, .fault = fault, .file = file};
    struct file bytes;
    struct fault why;
    warning[0] = '\0';
    if (!file_read(&bytes, path, FILE_MAX, &why))
        return token_read_fail(&reading, "%s", why.text);
    if ((bytes.mode & (S_IROTH | S_IWOTH)) != 0)
        token_read_warn(&reading, "every user of this machine may %s the tokens (mode %04o)",
                        (bytes.mode & S_IROTH) != 0 ? "read" : "write", (unsigned)bytes.mode);
    file->table = token_table_create(bytes.len);
    bool done = file->table != NULL ? read_tokens(&reading, bytes.text, bytes.len)
                                    : token_read_fail(&reading, "no table: %s", strerror(errno));
    file_free(&bytes);
    return done;
}

void token_file_free(struct token_file *file)
{
    token_table_destroy(file->table);
    token_digest_free(file->digest);
    tdestroy(file->names, free);
    *file = (struct token_file){.table = NULL};
}
