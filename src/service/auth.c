/* SPDX-License-Identifier: MIT */
/*
 * Tokens stand in a table by a hash under a secret that each load draws anew, and
 * only one whose whole 64-bit hash fits is compared, all of its bytes whatever they
 * are. So time depends on what the client sent itself, its length and its hash, which
 * nobody outside can compute, and on whether it was right, which it is told.
 */
#include "service/auth.h"

#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

/* in this file: a call into the library is as long as the hash of a token */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "service/builtin/health.h"
#include "service/core/chain.h"

enum { FILE_MAX = 16 << 20, SHORT_TOKEN = 16, SECRET_SIZE = 192 };
_Static_assert((int)SECRET_SIZE >= (int)XXH3_SECRET_SIZE_MIN, "xxhash needs so much");

struct token {
    uint64_t hash;
    uint32_t token_at; /* in text; NUL bytes follow up to a whole number of words */
    uint32_t token_len;
    const char *name; /* the auth's; NULL: an empty slot */
};

/* One mapping, which core dumps leave out: head, slots, text. */
struct table {
    size_t size;  /* of the mapping */
    size_t count; /* tokens */
    size_t mask;  /* slots - 1 */
    struct token *slots;
    char *text;
    uint8_t secret[SECRET_SIZE];
};

struct auth {
    struct table *table;
    void *names; /* tree of strings */
};

/* ---- looking one up ---- */

static uint64_t hash_of(const struct table *table, const char *token, size_t len)
{
    return XXH3_64bits_withSecret(token, len, table->secret, SECRET_SIZE);
}

/* Every word of both, whatever they hold; the compiler may not end it early. The last one overlaps
 * the one before it. */
static bool same(const char *a, const char *b, size_t len)
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

static const struct token *find(const struct table *table, const char *token, size_t len)
{
    uint64_t hash = hash_of(table, token, len);
    for (size_t at = hash & table->mask; table->slots[at].name != NULL;
         at = (at + 1) & table->mask) {
        const struct token *entry = &table->slots[at];
        if (entry->hash == hash && entry->token_len == len &&
            same(table->text + entry->token_at, token, len))
            return entry;
    }
    return NULL;
}

/* "Bearer" and a space, in any case: a letter with its bit of case set has no other origin. */
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
    const struct token *entry = find(auth->table, value + at, len - at);
    return entry == NULL ? NULL : entry->name;
}

size_t auth_count(const struct auth *auth)
{
    return auth->table->count;
}

/* ---- reading the file ---- */

struct reading {
    const char *path;
    struct auth_report *report;
    struct table *table;
    void **names;
    size_t line;
    size_t text_len;
};

static bool fail(struct reading *reading, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static bool fail(struct reading *reading, const char *format, ...)
{
    char *out = reading->report->fault;
    size_t size = sizeof(reading->report->fault);
    va_list args;
    int len = snprintf(out, size, "%.300s", reading->path);
    if (reading->line != 0)
        len += snprintf(out + len, size - (size_t)len, " line %zu", reading->line);
    len += snprintf(out + len, size - (size_t)len, ": ");
    va_start(args, format);
    vsnprintf(out + len, size - (size_t)len, format, args);
    va_end(args);
    return false;
}

static void warn(struct reading *reading, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void warn(struct reading *reading, const char *format, ...)
{
    char *out = reading->report->warning;
    size_t size = sizeof(reading->report->warning);
    va_list args;
    if (*out != '\0')
        return; /* the first is enough */
    int len = snprintf(out, size, "%.300s: ", reading->path);
    va_start(args, format);
    vsnprintf(out + len, size - (size_t)len, format, args);
    va_end(args);
}

static size_t visible(const char *text, size_t len)
{
    size_t n = 0;
    while (n < len && text[n] > 0x20 && text[n] < 0x7f)
        n++;
    return n;
}

static size_t blank(const char *text, size_t len)
{
    size_t n = 0;
    while (n < len && (text[n] == ' ' || text[n] == '\t'))
        n++;
    return n;
}

static uint32_t keep(struct reading *reading, const char *text, size_t len)
{
    uint32_t at = (uint32_t)reading->text_len;
    memcpy(reading->table->text + at, text, len);
    reading->text_len += (len + 8) & ~(size_t)7; /* one NUL at least */
    return at;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* The one string of this text, which lives as long as the auth. */
static const char *keep_name(struct reading *reading, const char *name, size_t len)
{
    char *copy = strndup(name, len);
    char **node = copy == NULL ? NULL : tsearch(copy, reading->names, by_text);
    if (node == NULL || *node != copy)
        free(copy);
    return node == NULL ? NULL : *node;
}

static bool add(struct reading *reading, const char *token, size_t token_len, const char *name,
                size_t name_len)
{
    struct table *table = reading->table;
    if (find(table, token, token_len) != NULL)
        return fail(reading, "the token is there already");
    const char *kept = keep_name(reading, name, name_len);
    if (kept == NULL)
        return fail(reading, "out of memory");
    uint64_t hash = hash_of(table, token, token_len);
    size_t at = hash & table->mask;
    while (table->slots[at].name != NULL)
        at = (at + 1) & table->mask;
    table->slots[at] = (struct token){.hash = hash,
                                      .token_at = keep(reading, token, token_len),
                                      .token_len = (uint32_t)token_len,
                                      .name = kept};
    table->count++;
    if (token_len < SHORT_TOKEN)
        warn(reading, "the token of line %zu has fewer than %d characters", reading->line,
             SHORT_TOKEN);
    return true;
}

static bool read_line(struct reading *reading, const char *line, size_t len)
{
    if (len != 0 && line[len - 1] == '\r')
        len--;
    size_t at = blank(line, len);
    if (at == len || line[at] == '#')
        return true;
    const char *token = line + at;
    size_t token_len = visible(token, len - at);
    at += token_len;
    size_t gap = blank(line + at, len - at);
    at += gap;
    const char *name = line + at;
    size_t name_len = visible(name, len - at);
    at += name_len;
    at += blank(line + at, len - at);
    if (token_len == 0 || (gap == 0 && at != len))
        return fail(reading, "a token is visible ASCII");
    if (name_len == 0)
        return fail(reading,
                    at == len ? "the token has no name: TOKEN NAME" : "a name is visible ASCII");
    if (at != len)
        return fail(reading, "more than a token and a name: TOKEN NAME");
    if (token_len > AUTH_TOKEN_MAX)
        return fail(reading, "the token is longer than %d bytes", AUTH_TOKEN_MAX);
    if (name_len > AUTH_NAME_MAX)
        return fail(reading, "the name is longer than %d bytes", AUTH_NAME_MAX);
    return add(reading, token, token_len, name, name_len);
}

static void unmap(struct table *table)
{
    if (table == NULL)
        return;
    explicit_bzero(table->text, table->size - (size_t)(table->text - (char *)table));
    munmap(table, table->size);
}

/* Room for whatever a file of this size may hold. A line is two bytes of text at least. */
static struct table *map_table(size_t file_size)
{
    size_t slots = 16;
    while (slots < file_size / 2) /* tokens are a quarter of it at most: "t n\n" */
        slots *= 2;
    size_t head = (sizeof(struct table) + 63) & ~(size_t)63, texts = slots * sizeof(struct token);
    /* "t n\n" becomes 16 bytes */
    size_t size = head + texts + 4 * file_size + 64;
    struct table *table =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (table == MAP_FAILED)
        return NULL;
    madvise(table, size, MADV_DONTDUMP);
    table->size = size;
    table->mask = slots - 1;
    table->slots = (struct token *)(void *)((char *)table + head);
    table->text = (char *)table->slots + texts;
    return table;
}

static bool read_text(struct reading *reading, const char *text, size_t len)
{
    const char *end = text + len;
    if (getrandom(reading->table->secret, SECRET_SIZE, 0) != SECRET_SIZE)
        return fail(reading, "no random numbers: %s", strerror(errno));
    while (text < end) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        size_t line_len = (size_t)((newline != NULL ? newline : end) - text);
        reading->line++;
        if (!read_line(reading, text, line_len))
            return false;
        text += line_len + 1;
    }
    reading->line = 0;
    if (reading->table->count == 0)
        return fail(reading, "there is no token in it");
    return true;
}

static bool check_file(struct reading *reading, int fd, struct stat *st)
{
    if (fstat(fd, st) != 0)
        return fail(reading, "%s", strerror(errno));
    if (!S_ISREG(st->st_mode))
        return fail(reading, "it is no regular file");
    if (st->st_size > FILE_MAX)
        return fail(reading, "it is larger than 16M");
    if ((st->st_mode & (S_IROTH | S_IWOTH)) != 0)
        warn(reading, "every user of this machine may %s the tokens (mode %04o)",
             (st->st_mode & S_IROTH) != 0 ? "read" : "write", (unsigned)(st->st_mode & 07777));
    return true;
}

static bool read_fd(struct reading *reading, int fd)
{
    struct stat st;
    if (!check_file(reading, fd, &st))
        return false;
    size_t size = (size_t)st.st_size, len = 0;
    reading->table = map_table(size);
    char *text = malloc(size + 1);
    bool done = text != NULL && reading->table != NULL;
    if (!done)
        fail(reading, "out of memory");
    while (done && len < size) {
        ssize_t got = read(fd, text + len, size - len);
        if (got < 0)
            done = fail(reading, "%s", strerror(errno));
        if (got <= 0)
            break;
        len += (size_t)got;
    }
    done = done && read_text(reading, text, len);
    if (text != NULL)
        explicit_bzero(text, size + 1);
    free(text);
    return done;
}

static struct table *load(const char *path, void **names, struct auth_report *report)
{
    struct reading reading = {.path = path, .report = report, .names = names};
    report->fault[0] = report->warning[0] = '\0';
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        fail(&reading, "%s", strerror(errno));
        return NULL;
    }
    bool done = read_fd(&reading, fd);
    close(fd);
    if (done)
        return reading.table;
    unmap(reading.table);
    return NULL;
}

struct auth *auth_load(const char *path, struct auth_report *report)
{
    struct auth *auth = calloc(1, sizeof(*auth));
    if (auth == NULL) {
        snprintf(report->fault, sizeof(report->fault), "out of memory");
        return NULL;
    }
    auth->table = load(path, &auth->names, report);
    if (auth->table != NULL)
        return auth;
    auth_free(auth);
    return NULL;
}

void auth_free(struct auth *auth)
{
    if (auth == NULL)
        return;
    unmap(auth->table);
    tdestroy(auth->names, free);
    free(auth);
}

/* ---- the step ---- */

static enum grpc_status on_start(struct grpc_call *call, void *data, const char **message)
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
        return GRPC_OK;
    *message = "Invalid token";
    return GRPC_UNAUTHENTICATED;
}

void auth_step(struct grpc_interceptor *step, const struct chain_config *config)
{
    if (config->auth != NULL)
        *step = (struct grpc_interceptor){.start = on_start, .data = (void *)(uintptr_t)config};
}
