/* SPDX-License-Identifier: MIT */
/*
 * Tokens are in a hash table. The hash depends on a secret that is drawn at each load. A token of
 * the table is compared with the client's only if all 64 bits of the hash are equal, and then all
 * of its bytes are compared, wherever they differ. So the time that a check takes depends on what
 * the client sent (its length, and its hash, which no client can compute), and on whether the token
 * is valid, which the client learns anyway.
 */
#include "service/auth.h"

#include <assert.h>
#include <errno.h>
#include <search.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>

/* inlined: a call into the library would cost as much as the hash of a token */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/file.h"
#include "service/builtin/health.h"
#include "service/core/chain.h"

enum {
    FILE_MAX = 16 << 20, /* bytes */
    SHORT_TOKEN = 16,    /* characters; a shorter token gets a warning */
    SECRET_SIZE = 192,
};
_Static_assert((int)SECRET_SIZE >= (int)XXH3_SECRET_SIZE_MIN, "xxhash needs a secret of this size");

struct auth_token {
    uint64_t hash;
    uint32_t token_at; /* in `text`; NUL bytes follow, up to a whole number of words */
    uint32_t token_len;
    const char *name; /* in auth.names; NULL: an empty slot */
};

/* One mapping, which core dumps leave out: this struct, then the slots, then the text. */
struct token_table {
    size_t size;  /* bytes of the mapping */
    size_t count; /* tokens */
    size_t mask;  /* number of slots - 1; the number is a power of two */
    struct auth_token *slots;
    char *text;
    uint8_t secret[SECRET_SIZE];
};

struct auth {
    struct token_table *table;
    void *names; /* a tree (tsearch()) of strings, each once */
};

/* ---- checking a token ---- */

static uint64_t token_hash(const struct token_table *table, const char *token, size_t len)
{
    return XXH3_64bits_withSecret(token, len, table->secret, SECRET_SIZE);
}

/* Compares all words, wherever the texts differ: the assembly keeps the compiler from ending the
 * loop early. The last word overlaps the one before it. */
static inline bool is_same_token(const char *a, const char *b, size_t len)
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

static inline const struct auth_token *find_token(const struct token_table *table,
                                                  const char *token, size_t len)
{
    uint64_t hash = token_hash(table, token, len);
    for (size_t at = hash & table->mask; table->slots[at].name != NULL;
         at = (at + 1) & table->mask) {
        const struct auth_token *entry = &table->slots[at];
        if (entry->hash == hash && entry->token_len == len &&
            is_same_token(table->text + entry->token_at, token, len))
            return entry;
    }
    return NULL;
}

/* "Bearer" and a space, with letters of either case: setting bit 5 makes them lower case, and makes
 * those letters of nothing else. */
static bool is_bearer(const char *value, size_t len)
{
    static const char scheme[8] = "bearer ";
    uint64_t given, expected, cases, seven;
    if (len < sizeof(given))
        return false;
    memcpy(&given, value, sizeof(given));
    memcpy(&expected, scheme, sizeof(expected));
    memcpy(&cases, "\x20\x20\x20\x20\x20\x20\0\0", sizeof(cases));
    memcpy(&seven, "\xff\xff\xff\xff\xff\xff\xff\0", sizeof(seven));
    return (((given | cases) ^ expected) & seven) == 0;
}

const char *auth_find(const struct auth *auth, const char *value, size_t len)
{
    size_t at = 7;
    if (!is_bearer(value, len))
        return NULL;
    while (at < len && value[at] == ' ')
        at++;
    if (at == len || len - at > AUTH_TOKEN_MAX)
        return NULL;
    const struct auth_token *entry = find_token(auth->table, value + at, len - at);
    return entry == NULL ? NULL : entry->name;
}

size_t auth_count(const struct auth *auth)
{
    return auth->table->count;
}

/* ---- reading the file ---- */

struct reading {
    const char *path;
    char *warning; /* AUTH_WARNING_SIZE bytes */
    struct fault *fault;
    struct token_table *table;
    void **names;    /* auth.names */
    size_t line;     /* from 1; 0: the file as a whole */
    size_t text_len; /* bytes of table->text in use */
};

static bool auth_read_fail(struct reading *reading, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static bool auth_read_fail(struct reading *reading, const char *format, ...)
{
    char text[128];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (reading->line != 0)
        return fault_set(reading->fault, "%.300s line %zu: %s", reading->path, reading->line, text);
    return fault_set(reading->fault, "%.300s: %s", reading->path, text);
}

/* Keeps the first warning. */
static void auth_read_warn(struct reading *reading, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void auth_read_warn(struct reading *reading, const char *format, ...)
{
    if (*reading->warning != '\0')
        return;
    int len = snprintf(reading->warning, AUTH_WARNING_SIZE, "%.300s: ", reading->path);
    va_list args;
    va_start(args, format);
    vsnprintf(reading->warning + len, AUTH_WARNING_SIZE - (size_t)len, format, args);
    va_end(args);
}

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

/* Copies the token into table->text. @return its offset there */
static uint32_t keep_token(struct reading *reading, const char *text, size_t len)
{
    uint32_t at = (uint32_t)reading->text_len;
    memcpy(reading->table->text + at, text, len);
    assert(at + len <
           reading->table->size - (size_t)(reading->table->text - (char *)reading->table));
    reading->text_len +=
        (len + 8) & ~(size_t)7; /* a whole number of words, with one NUL at least */
    return at;
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* @return the one copy of the name, which lives as long as the auth; NULL: out of memory */
static const char *keep_name(struct reading *reading, const char *name, size_t len)
{
    char *copy = strndup(name, len);
    char **node = copy == NULL ? NULL : tsearch(copy, reading->names, compare_texts);
    if (node == NULL || *node != copy)
        free(copy);
    return node == NULL ? NULL : *node;
}

static bool add_token(struct reading *reading, const char *token, size_t token_len,
                      const char *name, size_t name_len)
{
    struct token_table *table = reading->table;
    if (find_token(table, token, token_len) != NULL)
        return auth_read_fail(reading, "the token is there already");
    const char *kept = keep_name(reading, name, name_len);
    if (kept == NULL)
        return auth_read_fail(reading, "out of memory");
    uint64_t hash = token_hash(table, token, token_len);
    size_t at = hash & table->mask;
    while (table->slots[at].name != NULL)
        at = (at + 1) & table->mask;
    table->slots[at] = (struct auth_token){.hash = hash,
                                           .token_at = keep_token(reading, token, token_len),
                                           .token_len = (uint32_t)token_len,
                                           .name = kept};
    table->count++;
    if (token_len < SHORT_TOKEN)
        auth_read_warn(reading, "the token of line %zu has fewer than %d characters", reading->line,
                       SHORT_TOKEN);
    return true;
}

static bool read_token_line(struct reading *reading, const char *line, size_t len)
{
    if (len != 0 && line[len - 1] == '\r')
        len--;
    size_t at = count_blank(line, len);
    if (at == len || line[at] == '#')
        return true;
    const char *token = line + at;
    size_t token_len = count_visible(token, len - at);
    at += token_len;
    size_t gap = count_blank(line + at, len - at);
    at += gap;
    const char *name = line + at;
    size_t name_len = count_visible(name, len - at);
    at += name_len;
    at += count_blank(line + at, len - at);
    if (token_len == 0 || (gap == 0 && at != len))
        return auth_read_fail(reading, "a token is visible ASCII");
    if (name_len == 0)
        return auth_read_fail(reading, at == len ? "the token has no name: TOKEN NAME"
                                                 : "a name is visible ASCII");
    if (at != len)
        return auth_read_fail(reading, "more than a token and a name: TOKEN NAME");
    if (token_len > AUTH_TOKEN_MAX)
        return auth_read_fail(reading, "the token is longer than %d bytes", AUTH_TOKEN_MAX);
    if (name_len > AUTH_NAME_MAX)
        return auth_read_fail(reading, "the name is longer than %d bytes", AUTH_NAME_MAX);
    return add_token(reading, token, token_len, name, name_len);
}

static void unmap_table(struct token_table *table)
{
    if (table == NULL)
        return;
    explicit_bzero(table->text, table->size - (size_t)(table->text - (char *)table));
    munmap(table, table->size);
}

/* Makes an empty table with room for all tokens that a file of this size can hold. The shortest
 * line is "t n\n": so the tokens are at most a quarter of the bytes, and each takes at least 8
 * bytes of text. @return NULL: out of memory */
static struct token_table *map_table(size_t file_size)
{
    size_t slots = 16;
    while (slots < file_size / 2) /* twice the most tokens */
        slots *= 2;
    size_t head = (sizeof(struct token_table) + 63) & ~(size_t)63,
           texts = slots * sizeof(struct auth_token);
    size_t size = head + texts + 4 * file_size + 64;
    struct token_table *table =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (table == MAP_FAILED)
        return NULL;
    madvise(table, size, MADV_DONTDUMP);
    table->size = size;
    table->mask = slots - 1;
    table->slots = (struct auth_token *)(void *)((char *)table + head);
    table->text = (char *)table->slots + texts;
    return table;
}

static bool read_tokens(struct reading *reading, const char *text, size_t len)
{
    const char *end = text + len;
    if (getrandom(reading->table->secret, SECRET_SIZE, 0) != SECRET_SIZE)
        return auth_read_fail(reading, "no random numbers: %s", strerror(errno));
    while (text < end) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        size_t line_len = (size_t)((newline != NULL ? newline : end) - text);
        reading->line++;
        if (!read_token_line(reading, text, line_len))
            return false;
        text += line_len + 1;
    }
    reading->line = 0;
    if (reading->table->count == 0)
        return auth_read_fail(reading, "there is no token in it");
    return true;
}

static bool read_token_file(struct reading *reading)
{
    struct file file;
    struct fault why;
    if (!file_read(&file, reading->path, FILE_MAX, &why))
        return auth_read_fail(reading, "%s", why.text);
    if ((file.mode & (S_IROTH | S_IWOTH)) != 0)
        auth_read_warn(reading, "every user of this machine may %s the tokens (mode %04o)",
                       (file.mode & S_IROTH) != 0 ? "read" : "write", (unsigned)file.mode);
    reading->table = map_table(file.len);
    bool done = reading->table != NULL ? read_tokens(reading, file.text, file.len)
                                       : auth_read_fail(reading, "out of memory");
    file_free(&file);
    return done;
}

struct auth *auth_load(const char *path, char warning[AUTH_WARNING_SIZE], struct fault *fault)
{
    warning[0] = '\0';
    struct auth *auth = calloc(1, sizeof(*auth));
    if (auth == NULL) {
        fault_set(fault, "out of memory");
        return NULL;
    }
    struct reading reading = {
        .path = path, .warning = warning, .fault = fault, .names = &auth->names};
    bool done = read_token_file(&reading);
    auth->table = reading.table;
    if (done)
        return auth;
    auth_free(auth);
    return NULL;
}

void auth_free(struct auth *auth)
{
    if (auth == NULL)
        return;
    unmap_table(auth->table);
    tdestroy(auth->names, free);
    free(auth);
}

/* ---- the step in the chain: checks the token of each call ---- */

static enum grpc_status auth_on_start(struct grpc_call *call, void *data, const char **message)
{
    const struct chain_config *config = data;
    h2o_iovec_t value = grpc_call_metadata(call, "authorization");
    const char *name = value.base == NULL ? NULL : auth_find(config->auth, value.base, value.len);
    grpc_call_wipe_metadata(call, "authorization");
    if (name != NULL) {
        grpc_call_set_identity(call, name);
        return GRPC_OK;
    }
    if (grpc_server_method_service(config->server, grpc_call_method_index(call)) ==
        health_table.name)
        return GRPC_OK; /* probes and load balancers have no token */
    *message = "Invalid token";
    return GRPC_UNAUTHENTICATED;
}

void auth_step(struct grpc_interceptor *step, const struct chain_config *config)
{
    if (config->auth != NULL)
        *step =
            (struct grpc_interceptor){.start = auth_on_start, .data = (void *)(uintptr_t)config};
}
